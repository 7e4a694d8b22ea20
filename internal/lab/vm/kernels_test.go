package vm

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// fakeKernel puts a kernel into a cache as if it had been fetched some time ago.
func fakeKernel(t *testing.T, dir, name string, age time.Duration) {
	t.Helper()
	at := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Join(at, modulesDir), 0o755); err != nil {
		t.Fatal(err)
	}
	for file, text := range map[string]string{
		imageFile: "image", describedBy: `{"Release":"5.10.0-1-test","Version":"5.10.1-1"}`,
	} {
		if err := os.WriteFile(filepath.Join(at, file), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	then := time.Now().Add(-age)
	if err := os.Chtimes(filepath.Join(at, describedBy), then, then); err != nil {
		t.Fatal(err)
	}
}

// noMirror makes every apt command fail.
func noMirror(t *testing.T) {
	t.Helper()
	dir := t.TempDir()
	script := []byte("#!/bin/sh\necho unreachable >&2\nexit 100\n")
	if err := os.WriteFile(filepath.Join(dir, "apt-get"), script, 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
}

func TestKernelsWithoutMirror(t *testing.T) {
	noMirror(t)
	dir := t.TempDir()
	fakeKernel(t, dir, "fresh", time.Hour)
	fakeKernel(t, dir, "old", maxAge+time.Hour)

	ks, err := Kernels(t.Context(), dir, Want{Name: "fresh"}, Want{Name: "old"})
	if err != nil {
		t.Fatal(err)
	}
	if ks[0].Stale != nil || ks[0].Release != "5.10.0-1-test" || ks[0].Image != filepath.Join(dir, "fresh", imageFile) {
		t.Errorf("fresh: %+v", ks[0])
	}
	if ks[1].Stale == nil || !strings.Contains(ks[1].Stale.Error(), "unreachable") || ks[1].Version != "5.10.1-1" {
		t.Errorf("old: %+v, want it with the reason why it is stale", ks[1])
	}
	if _, err := Kernels(t.Context(), dir, Want{Name: "absent"}); err == nil || !strings.Contains(err.Error(), "unreachable") {
		t.Errorf("absent: error %v, want apt's", err)
	}
}

// A kernel whose image got lost is fetched again, not handed out.
func TestKernelsBroken(t *testing.T) {
	noMirror(t)
	dir := t.TempDir()
	fakeKernel(t, dir, "broken", time.Hour)
	if err := os.Remove(filepath.Join(dir, "broken", imageFile)); err != nil {
		t.Fatal(err)
	}
	if ks, err := Kernels(t.Context(), dir, Want{Name: "broken"}); err == nil {
		t.Errorf("got %+v", ks)
	}
}

// Nothing but the cached kernels and the lock may stay behind.
func TestKernelsLeavesNothing(t *testing.T) {
	noMirror(t)
	dir := t.TempDir()
	if _, err := Kernels(t.Context(), dir, Want{Name: "absent"}); err == nil {
		t.Fatal("no error")
	}
	left, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || len(left) != 1 || filepath.Base(left[0]) != "lock" {
		t.Errorf("left %v, %v", left, err)
	}
}

func TestLock(t *testing.T) {
	name := filepath.Join(t.TempDir(), "lock")
	unlock, err := lock(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, err := lock(ctx, name); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("second lock: %v, want it to wait until the context ends", err)
	}
	unlock()
	if unlock, err = lock(t.Context(), name); err != nil {
		t.Fatal(err)
	}
	unlock()
}

func TestParseMirrors(t *testing.T) {
	line := func(archive, suite string) string {
		return fmt.Sprintf("'%s/dists/%s/InRelease' some_file 0 \n'%[1]s/dists/%[2]s/main/binary-amd64/Packages.xz' x 0 \n", archive, suite)
	}
	text := line("http://other.example/apt", "any") +
		line("http://mirror.example/debian", "bookworm") +
		line("http://mirror.example/debian", "bookworm-updates") +
		line("https://second.example/debian-security", "bookworm-security") +
		line("http://third.example/debian", "bookworm")
	m, err := parseMirrors(text)
	want := mirrors{"http://mirror.example/debian", "https://second.example/debian-security"}
	if err != nil || m != want {
		t.Errorf("got %v, %v, want %v", m, err, want)
	}
	if got := m.of("bullseye-security"); got != want.security {
		t.Errorf("bullseye-security is at %s", got)
	}
	if got := m.of("sid"); got != want.main {
		t.Errorf("sid is at %s", got)
	}
	if _, err := parseMirrors(line("http://other.example/apt", "any")); err == nil {
		t.Error("no error without Debian's suites")
	}
}
