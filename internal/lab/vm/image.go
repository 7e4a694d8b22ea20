package vm

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
)

// compressions are the ways a kernel's payload is packed, by its first bytes,
// with the tool that unpacks it and the Debian package of that.
var compressions = []struct {
	magic, tool, pkg string
}{
	{"\xfd7zXZ\x00", "xz", "xz-utils"},
	{"\x28\xb5\x2f\xfd", "zstd", "zstd"},
	{"\x02\x21\x4c\x18", "lz4", "lz4"},
	{"\x1f\x8b", "gzip", "gzip"},
}

// Offsets in a bzImage (Documentation/arch/x86/boot.rst, protocol 2.08 on).
const (
	bootSetupSectors  = 0x1f1 // sectors of real-mode code after the first
	bootMagic         = 0x202 // "HdrS"
	bootPayloadOffset = 0x248 // from the start of the protected-mode code
	bootPayloadLength = 0x24c
	bootHeaderEnd     = 0x250
)

// unpackImage writes the ELF kernel inside the bzImage from to the file to.
// QEMU boots that one directly (PVH); the emulated machine would take seconds
// to unpack it itself.
func unpackImage(from, to string) error {
	image, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	packed, err := payload(image)
	if err != nil {
		return fmt.Errorf("unpack %s: %w", from, err)
	}
	for _, c := range compressions {
		if !bytes.HasPrefix(packed, []byte(c.magic)) {
			continue
		}
		kernel, err := decompress(c.tool, packed)
		if err != nil {
			return fmt.Errorf("unpack %s (Debian package %s): %w", from, c.pkg, err)
		}
		return os.WriteFile(to, kernel, 0o644)
	}
	return fmt.Errorf("unpack %s: its payload is packed in an unknown way (%x)", from, packed[:4])
}

// payload cuts the compressed kernel out of a bzImage.
func payload(image []byte) ([]byte, error) {
	if len(image) < bootHeaderEnd || string(image[bootMagic:bootMagic+4]) != "HdrS" {
		return nil, errors.New("not a bzImage")
	}
	le := binary.LittleEndian
	start := (int(image[bootSetupSectors])+1)*512 + int(le.Uint32(image[bootPayloadOffset:]))
	end := start + int(le.Uint32(image[bootPayloadLength:]))
	if start+8 > end || end > len(image) {
		return nil, errors.New("the bzImage is cut short")
	}
	return image[start:end], nil
}

// decompress runs a tool over data. All but gzip complain about the length that
// the kernel's build appends to its payload, after having written everything: a
// complaint counts only when the result is no ELF file.
func decompress(tool string, data []byte) ([]byte, error) {
	cmd := exec.Command(tool, "-dc")
	cmd.Stdin = bytes.NewReader(data)
	var complaint strings.Builder
	cmd.Stderr = &complaint
	out, err := cmd.Output()
	if bytes.HasPrefix(out, []byte("\x7fELF")) {
		return out, nil
	}
	if err == nil {
		err = errors.New("the result is no ELF file")
	}
	return nil, fmt.Errorf("%s: %w: %s", tool, err, strings.TrimSpace(complaint.String()))
}
