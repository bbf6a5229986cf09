package coord

import (
	"errors"
	"fmt"
	"syscall"
)

// SetTrouble tells all members why the leader cannot write tables at present,
// and nil that it can again. Of the error only the system's number gets across.
func (c *Control) SetTrouble(err error) {
	var code uint64
	if err != nil {
		no := syscall.EIO
		errors.As(err, &no)
		code = uint64(no)
	}
	if c.b.head.trouble.Swap(code) != code {
		c.WakeAll()
	}
}

// Trouble returns why the leader cannot write tables at present, nil if it can.
func (c *Control) Trouble() error {
	if code := c.b.head.trouble.Load(); code != 0 {
		return fmt.Errorf("the leader cannot write tables: %w", syscall.Errno(code))
	}
	return nil
}
