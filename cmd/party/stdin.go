package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
)

// stdin returns standard input as a reader that ctx can end: a read from a
// terminal or pipe cannot be stopped, only left behind.
func stdin(ctx context.Context) io.Reader { return &leavingReader{ctx: ctx, r: os.Stdin} }

type leavingReader struct {
	ctx context.Context
	r   io.Reader
	buf []byte // the reading goroutine's, which may outlive Read
}

func (l *leavingReader) Read(p []byte) (int, error) {
	type result struct {
		n   int
		err error
	}
	if l.buf == nil {
		l.buf = make([]byte, 64<<10)
	}
	c := make(chan result, 1)
	go func() {
		n, err := l.r.Read(l.buf[:min(len(p), len(l.buf))])
		c <- result{n, err}
	}()
	select {
	case r := <-c:
		return copy(p, l.buf[:r.n]), r.err
	case <-l.ctx.Done():
		l.buf = nil
		return 0, context.Cause(l.ctx)
	}
}

// eachLine calls f for the lines of r, of any length, without their line ends.
// Empty lines are left out. The slice is valid until f returns.
func eachLine(r io.Reader, f func(line []byte) error) error {
	in := bufio.NewReaderSize(r, 64<<10)
	var long []byte
	for n := 1; ; n++ {
		long = long[:0]
		line, err := in.ReadSlice('\n')
		for errors.Is(err, bufio.ErrBufferFull) {
			long = append(long, line...)
			line, err = in.ReadSlice('\n')
		}
		if len(long) > 0 {
			long = append(long, line...)
			line = long
		}
		if err != nil && err != io.EOF {
			return err
		}
		line = bytes.TrimSuffix(bytes.TrimSuffix(line, []byte("\n")), []byte("\r"))
		if len(line) > 0 {
			if err := f(line); err != nil {
				return fmt.Errorf("line %d: %w", n, err)
			}
		}
		if err == io.EOF {
			return nil
		}
	}
}
