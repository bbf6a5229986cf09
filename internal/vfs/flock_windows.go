package vfs

import (
	"errors"
	"os"

	"golang.org/x/sys/windows"
)

func tryFlock(path string, shared bool) (*Lock, error) {
	name, err := windows.UTF16PtrFromString(path)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	access, share := uint32(windows.GENERIC_READ|windows.GENERIC_WRITE), uint32(0)
	if shared {
		access, share = windows.GENERIC_READ, windows.FILE_SHARE_READ|windows.FILE_SHARE_WRITE
	}
	h, err := windows.CreateFile(name, access, share, nil, windows.OPEN_ALWAYS, windows.FILE_ATTRIBUTE_NORMAL, 0)
	switch {
	case err == nil:
		return &Lock{os.NewFile(uintptr(h), path)}, nil
	case errors.Is(err, windows.ERROR_SHARING_VIOLATION) || errors.Is(err, windows.ERROR_LOCK_VIOLATION):
		return nil, ErrHeld
	}
	return nil, &os.PathError{Op: "open", Path: path, Err: err}
}

func flock(f *os.File, shared bool) error { return ErrNotSupported }
