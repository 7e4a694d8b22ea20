package vm

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

type failing struct{}

var errFull = errors.New("full")

func (failing) Write([]byte) (int, error) { return 0, errFull }

func TestCPIOReportsErrors(t *testing.T) {
	c := newCPIO(failing{})
	c.file("x", []byte("y"))
	if err := c.end(); !errors.Is(err, errFull) {
		t.Errorf("error %v, want %v", err, errFull)
	}
}

// bzImage makes the smallest image that has a payload.
func bzImage(packed []byte) []byte {
	const sectors = 2
	image := make([]byte, (sectors+1)*512+16)
	image[bootSetupSectors] = sectors
	copy(image[bootMagic:], "HdrS")
	binary.LittleEndian.PutUint32(image[bootPayloadOffset:], 16)
	binary.LittleEndian.PutUint32(image[bootPayloadLength:], uint32(len(packed)))
	return append(image, packed...)
}

// packedBy compresses as the kernel's build does, with the length appended.
func packedBy(t *testing.T, tool string, data []byte) []byte {
	t.Helper()
	cmd := exec.Command(tool, "-c")
	cmd.Stdin = bytes.NewReader(data)
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	return binary.LittleEndian.AppendUint32(out, uint32(len(data)))
}

func TestUnpackImage(t *testing.T) {
	elf := append([]byte("\x7fELF"), bytes.Repeat([]byte("kernel"), 100_000)...)
	for _, tool := range []string{"xz", "zstd", "gzip"} {
		dir := t.TempDir()
		from, to := filepath.Join(dir, "vmlinuz"), filepath.Join(dir, "vmlinux")
		if err := os.WriteFile(from, bzImage(packedBy(t, tool, elf)), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := unpackImage(from, to); err != nil {
			t.Error(err)
			continue
		}
		if got, err := os.ReadFile(to); err != nil || !bytes.Equal(got, elf) {
			t.Errorf("%s: %d bytes, %v, want %d", tool, len(got), err, len(elf))
		}
	}
}

func TestUnpackImageRefuses(t *testing.T) {
	whole := bzImage(packedBy(t, "zstd", []byte("no kernel")))
	for _, c := range []struct {
		name, want string
		image      []byte
	}{
		{"empty", "not a bzImage", nil},
		{"other file", "not a bzImage", make([]byte, 4096)},
		{"cut", "cut short", whole[:len(whole)-1]},
		{"unknown packing", "unknown way", bzImage([]byte("12345678"))},
		{"no kernel", "zstd", whole},
	} {
		from := filepath.Join(t.TempDir(), "vmlinuz")
		if err := os.WriteFile(from, c.image, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := unpackImage(from, from+".out"); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want it to say %q", c.name, err, c.want)
		}
	}
}

func TestResolveModules(t *testing.T) {
	dir := t.TempDir()
	for name, depends := range map[string]string{
		"net/top.ko": "left,built_in,right-side", "net/left.ko": "base", "drivers/right-side.ko": "base", "base.ko": "",
	} {
		at := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(at, []byte("\x7fELF\x00license=GPL\x00depends="+depends+"\x00name=x\x00"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	mods, err := resolveModules(dir, []string{"top", "left"})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, m := range mods {
		names = append(names, m.name)
	}
	if want := []string{"base", "left", "right_side", "top"}; !slices.Equal(names, want) {
		t.Errorf("order %v, want %v", names, want)
	}
	if _, err := resolveModules(dir, []string{"absent"}); err == nil {
		t.Error("no error for a module that is not there")
	}
}
