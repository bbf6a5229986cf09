package sstable

// Blocks returns how many data blocks the table has.
func (r *Reader) Blocks() int { return r.index.len() }
