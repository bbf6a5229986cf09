//go:build !lmdb

// Command getone-lmdb is what getone is, with LMDB, if built with the tag lmdb.
package main

func main() { panic("built without the tag lmdb") }
