package crew

import (
	"embed"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

//go:embed src
var source embed.FS

// Program is the path of the crew's program.
type Program string

// Build compiles it into a directory. It is static: starting it anew for each
// connection must not take long.
func Build(dir string) (Program, error) {
	if err := os.CopyFS(dir, source); err != nil {
		return "", fmt.Errorf("build the crew: %w", err)
	}
	files, err := filepath.Glob(filepath.Join(dir, "src", "*.c"))
	if err != nil {
		return "", fmt.Errorf("build the crew: %w", err)
	}
	program := filepath.Join(dir, "crew")
	args := append([]string{"-O2", "-static", "-pthread", "-Wall", "-Wextra", "-Wno-unused-parameter", "-Werror", "-o", program}, files...)
	if out, err := exec.Command("cc", args...).CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the crew: %w: %s", err, out)
	}
	return Program(program), nil
}
