package vm

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// keyring holds the keys of every suite that Debian still signs.
const keyring = "/usr/share/keyrings/debian-archive-keyring.gpg"

// isolated is added to the machine's own apt configuration (which knows its
// proxies): one source, all state in a directory of our own, no installed
// packages, none of the hooks that desktop packages add, no pins.
const isolated = `#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
#clear Acquire::IndexTargets::deb::DEP-11;
Dir::Etc::sourcelist "%[1]s/sources.list";
Dir::Etc::sourceparts "-";
Dir::Etc::preferences "/dev/null";
Dir::Etc::preferencesparts "%[1]s/pins";
Dir::State "%[1]s";
Dir::State::status "/dev/null";
Dir::Cache "%[1]s";
Acquire::Languages "none";
Acquire::Retries "3";
APT::Architecture "amd64";
APT::Architectures { "amd64"; };
APT::Sandbox::User "";
`

// archive is one Debian suite as an apt of its own sees it.
type archive struct{ dir string }

// openArchive fetches the index of a suite into dir, which must not exist.
func openArchive(ctx context.Context, dir, mirror, suite string) (archive, error) {
	a := archive{dir}
	for _, d := range []string{"lists/partial", "archives/partial", "debs", "pins"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			return a, fmt.Errorf("make apt's directories: %w", err)
		}
	}
	files := map[string]string{
		"sources.list": fmt.Sprintf("deb [signed-by=%s] %s %s main\n", keyring, mirror, suite),
		"apt.conf":     fmt.Sprintf(isolated, dir),
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			return a, fmt.Errorf("write apt's configuration: %w", err)
		}
	}
	// By itself apt-get update takes an unreachable mirror for a mere warning.
	if _, err := a.run(ctx, "apt-get", "update", "--error-on=any"); err != nil {
		return a, fmt.Errorf("fetch the index of %s: %w", suite, err)
	}
	return a, nil
}

// run runs an apt command on the archive and returns what it wrote to stdout.
func (a archive) run(ctx context.Context, tool string, args ...string) (string, error) {
	args = append([]string{"--quiet=2", "--config-file", filepath.Join(a.dir, "apt.conf")}, args...)
	return command(ctx, filepath.Join(a.dir, "debs"), tool, args...)
}

// show returns the fields of the latest version of a package.
func (a archive) show(ctx context.Context, pkg string) (map[string]string, error) {
	text, err := a.run(ctx, "apt-cache", "show", "--no-all-versions", pkg)
	if err != nil {
		return nil, err
	}
	fields := map[string]string{}
	for line := range strings.Lines(text) {
		if name, value, ok := strings.Cut(line, ": "); ok && !strings.HasPrefix(line, " ") {
			fields[name] = strings.TrimSpace(value)
		}
	}
	return fields, nil
}

// download puts packages into the archive's directory debs and returns their
// files.
func (a archive) download(ctx context.Context, pkgs []string) ([]string, error) {
	if _, err := a.run(ctx, "apt-get", append([]string{"download"}, pkgs...)...); err != nil {
		return nil, err
	}
	return filepath.Glob(filepath.Join(a.dir, "debs", "*.deb"))
}

// command runs a program in dir; its error holds what it wrote to stderr.
func command(ctx context.Context, dir, name string, args ...string) (string, error) {
	var out, complaint strings.Builder
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, &out, &complaint
	cmd.Env = append(os.Environ(), "LC_ALL=C.UTF-8")
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%s: %w: %s", name, err, strings.TrimSpace(complaint.String()))
	}
	return out.String(), nil
}
