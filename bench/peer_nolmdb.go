//go:build !lmdb

package main

const lmdbBuilt = false
