package vm

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// Want says where Debian keeps a kernel. Where there are several suites, the
// one with the highest version is meant.
type Want struct {
	Name    string   // the cache's directory
	Suites  []string // of the main or the security archive
	Package string   // the metapackage that always depends on the latest point release
}

// The kernels that the tests know. 5.10 is the oldest that Debian still
// serves; cloud kernels are small and have all that a tracer needs.
var (
	Oldest  = Want{"oldest", []string{"bullseye-security"}, "linux-image-cloud-amd64"}
	Linux61 = Want{"6.1", []string{"bookworm-security"}, "linux-image-cloud-amd64"}
	// Debian 12's own backport of Debian 13's kernel.
	Linux612 = Want{"6.12", []string{"bookworm-security"}, "linux-image-6.12-cloud-amd64"}
	Newest   = Want{"newest", []string{"trixie-backports", "sid"}, "linux-image-cloud-amd64"}
)

// Kernel is one kernel on this host's disk.
type Kernel struct {
	Release string // as uname -r says it
	Version string // of the Debian package
	Image   string // uncompressed ELF kernel
	Modules string // directory with the kernel's modules
	Stale   error  // why it is an old copy though a newer one was looked for; nil as a rule
}

// maxAge is how long a kernel is used without asking the mirror again.
const maxAge = 14 * 24 * time.Hour

// CacheDir is where kernels are kept unless a caller says otherwise:
// $TCPSTORY_KERNELS, or tcpstory/kernels in the user's cache directory.
func CacheDir() (string, error) {
	if dir := os.Getenv("TCPSTORY_KERNELS"); dir != "" {
		return filepath.Abs(dir)
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("find the cache directory for kernels: %w; set TCPSTORY_KERNELS", err)
	}
	return filepath.Join(dir, "tcpstory", "kernels"), nil
}

// Kernels returns the wanted kernels, in order. One that is not in the cache,
// or has been there for two weeks, is fetched from the Debian mirror of this
// host's apt sources; when that fails, an old copy is returned with Stale set,
// or, without one, an error. Processes may share a cache.
func Kernels(ctx context.Context, dir string, wants ...Want) ([]Kernel, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("make the cache of kernels: %w", err)
	}
	unlock, err := lock(ctx, filepath.Join(dir, "lock"))
	if err != nil {
		return nil, err
	}
	defer unlock()
	var ks []Kernel
	for _, w := range wants {
		k, err := cached(ctx, filepath.Join(dir, w.Name), w)
		if err != nil {
			return nil, fmt.Errorf("kernel %s: %w", w.Name, err)
		}
		ks = append(ks, k)
	}
	return ks, nil
}

// cached returns the kernel in dir, fetched anew if need be.
func cached(ctx context.Context, dir string, w Want) (Kernel, error) {
	old, age, missing := load(dir)
	if missing == nil && age < maxAge {
		return old, nil
	}
	err := fetch(ctx, dir, w)
	if err != nil && missing == nil {
		old.Stale = err
		return old, nil
	}
	if err != nil {
		return Kernel{}, err
	}
	k, _, err := load(dir)
	return k, err
}

// A cached kernel is a directory with these entries. The description is written
// last; its time of modification is when the mirror was asked.
const (
	describedBy = "kernel.json"
	imageFile   = "vmlinux"
	modulesDir  = "modules"
)

// description is the content of describedBy.
type description struct{ Release, Version string }

// load reads a cached kernel and says how long ago the mirror was asked for it.
func load(dir string) (Kernel, time.Duration, error) {
	name := filepath.Join(dir, describedBy)
	text, err := os.ReadFile(name)
	if err != nil {
		return Kernel{}, 0, err
	}
	var d description
	if err := json.Unmarshal(text, &d); err != nil {
		return Kernel{}, 0, fmt.Errorf("read %s: %w", name, err)
	}
	k := Kernel{
		Release: d.Release, Version: d.Version,
		Image: filepath.Join(dir, imageFile), Modules: filepath.Join(dir, modulesDir),
	}
	info, err := os.Stat(name)
	_, imageErr := os.Stat(k.Image)
	if err := errors.Join(err, imageErr); err != nil {
		return Kernel{}, 0, err
	}
	return k, time.Since(info.ModTime()), nil
}

// fetch asks the mirror for w and puts the answer in place of dir. What is there
// already and still the latest is only marked as new.
func fetch(ctx context.Context, dir string, w Want) error {
	tmp, err := os.MkdirTemp(filepath.Dir(dir), "fetch-")
	if err != nil {
		return fmt.Errorf("make a directory to fetch into: %w", err)
	}
	defer os.RemoveAll(tmp)
	found, err := lookUp(ctx, tmp, w)
	if err != nil {
		return err
	}
	if k, _, err := load(dir); err == nil && k.Version == found.version {
		now := time.Now()
		return os.Chtimes(filepath.Join(dir, describedBy), now, now)
	}
	fresh := filepath.Join(tmp, "kernel")
	if err := found.unpack(ctx, fresh); err != nil {
		return err
	}
	if err := os.RemoveAll(dir); err != nil {
		return fmt.Errorf("remove the old kernel: %w", err)
	}
	return os.Rename(fresh, dir)
}
