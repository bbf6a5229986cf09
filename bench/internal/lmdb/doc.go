//go:build !lmdb

// Package lmdb is empty without the build tag lmdb.
package lmdb
