package vfs

import (
	"bytes"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// File systems by the magic number of statfs(2).
var (
	// On these a mapping is what every process of this machine sees.
	localFileSystems = map[uint32]bool{
		0xef53:     true, // ext2, ext3, ext4
		0x58465342: true, // xfs
		0x9123683e: true, // btrfs
		0x01021994: true, // tmpfs
		0x858458f6: true, // ramfs
		0xf2f52010: true, // f2fs
		0x2fc12fc1: true, // zfs
		0xca451a4e: true, // bcachefs
	}
	// These another machine may have mounted too, or their mappings are not kept
	// in step, or their locks are not seen by everybody.
	remoteFileSystems = map[uint32]string{
		0x6969:     "nfs",
		0x517b:     "smb",
		0xff534d42: "cifs",
		0xfe534d42: "smb2",
		0x01021997: "9p",
		0x65735546: "fuse",
		0x00c36400: "ceph",
		0x5346414f: "afs",
		0x6b414653: "afs",
		0x73757245: "coda",
		0x564c:     "ncp",
		0x0bd00bd0: "lustre",
		0x47504653: "gpfs",
		0x01161970: "gfs2",
		0x7461636f: "ocfs2",
		0x19830326: "beegfs",
		0x20030528: "orangefs",
		0xaad7aaea: "panfs",
		0x786f4256: "vboxsf",
		0xbacbacbc: "vmhgfs",
	}
)

// SharedMemoryWorks reports whether processes can share memory through mapped
// files in dir, and if not, why. Network file systems are refused by name; of
// those that are neither known to be local nor known to be remote (overlayfs
// among them) it tries.
func SharedMemoryWorks(dir string) (ok bool, why string) {
	var st unix.Statfs_t
	for {
		err := unix.Statfs(dir, &st)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return false, (&os.PathError{Op: "statfs", Path: dir, Err: err}).Error()
		}
		break
	}
	if st.Flags&unix.ST_RDONLY != 0 {
		return false, "file system is read only"
	}
	magic := uint32(st.Type)
	if name, remote := remoteFileSystems[magic]; remote {
		return false, fmt.Sprintf("file system %s does not share memory among all its users", name)
	}
	if localFileSystems[magic] {
		return true, ""
	}
	if err := probeCoherence(dir); err != nil {
		return false, fmt.Sprintf("file system of type %#x: %v", magic, err)
	}
	return true, ""
}

var errIncoherent = errors.New("what one mapping writes another does not read")

// probeCoherence writes through one mapping of a file and reads through another,
// made from a second open of its name, and with pread, and the other way round.
func probeCoherence(dir string) (err error) {
	const size = 4096
	a, err := os.CreateTemp(dir, "party.probe")
	if err != nil {
		return err
	}
	defer a.Close()
	defer os.Remove(a.Name())
	if _, err := a.Write(make([]byte, size)); err != nil {
		return err
	}
	b, err := os.OpenFile(a.Name(), os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer b.Close()
	ma, err := MapShared(a, size)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, Unmap(ma)) }()
	mb, err := MapShared(b, size)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, Unmap(mb)) }()
	return Guard(func() error {
		said, heard := []byte("mapped"), make([]byte, 6)
		copy(ma, said)
		if _, err := b.ReadAt(heard, 0); err != nil {
			return err
		}
		if !bytes.Equal(mb[:6], said) || !bytes.Equal(heard, said) {
			return errIncoherent
		}
		if _, err := b.WriteAt([]byte("writes"), 100); err != nil {
			return err
		}
		if string(ma[100:106]) != "writes" || string(mb[100:106]) != "writes" {
			return errIncoherent
		}
		return nil
	})
}
