package vm

import (
	"fmt"
	"io"
	"os"
	"path"
	"strings"
)

// Unix file types and permissions, as a cpio header has them.
const (
	modeDir    = 0o040755
	modeFile   = 0o100755
	modeDevice = 0o020600
)

// cpio writes an archive in the "newc" format, which is what the kernel unpacks
// (Documentation/driver-api/early-userspace/buffer-format.rst). The first error
// stays and is returned by end.
type cpio struct {
	w     io.Writer
	err   error
	off   int64
	inode int
	made  map[string]bool // directories
}

func newCPIO(w io.Writer) *cpio { return &cpio{w: w, made: map[string]bool{"/": true}} }

// file adds a regular, executable file and the directories above it.
func (c *cpio) file(name string, data []byte) { c.entry(name, modeFile, data, 0, 0) }

// device adds a character device.
func (c *cpio) device(name string, major, minor int) {
	c.entry(name, modeDevice, nil, major, minor)
}

// copy adds a file of the host.
func (c *cpio) copy(name, from string) error {
	data, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	c.file(name, data)
	return nil
}

// end closes the archive.
func (c *cpio) end() error {
	c.record("TRAILER!!!", 0, nil, 0, 0)
	return c.err
}

func (c *cpio) entry(name string, mode int, data []byte, major, minor int) {
	name = path.Clean("/" + name)
	c.parents(path.Dir(name))
	c.record(strings.TrimPrefix(name, "/"), mode, data, major, minor)
}

func (c *cpio) parents(dir string) {
	if c.made[dir] {
		return
	}
	c.parents(path.Dir(dir))
	c.made[dir] = true
	c.record(strings.TrimPrefix(dir, "/"), modeDir, nil, 0, 0)
}

// record writes one header with its name and data, each padded to 4 bytes. The
// fields after the magic are ino, mode, uid, gid, nlink, mtime, filesize,
// devmajor, devminor, rdevmajor, rdevminor, namesize and check.
func (c *cpio) record(name string, mode int, data []byte, major, minor int) {
	c.inode++
	head := "070701"
	for _, v := range []int{c.inode, mode, 0, 0, 1, 0, len(data), 0, 0, major, minor, len(name) + 1, 0} {
		head += fmt.Sprintf("%08x", v)
	}
	c.padded([]byte(head + name + "\x00"))
	c.padded(data)
}

func (c *cpio) padded(b []byte) {
	c.write(b)
	c.write(make([]byte, -c.off&3))
}

func (c *cpio) write(b []byte) {
	if c.err != nil {
		return
	}
	n, err := c.w.Write(b)
	c.off += int64(n)
	c.err = err
}
