package main

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"tcpstory/internal/capture"
	"tcpstory/internal/lab"
	"tcpstory/internal/tcp"
)

// TestShelfIsOnes: names of incidents are one recorder's at a time, other names are
// free, and neither its end nor what a killed one has left stands in the next one's way.
func TestShelfIsOnes(t *testing.T) {
	dir := t.TempDir()
	open := func(path string) (*shelf, error) { return openShelf(path, 1<<20, 10) }
	mustDo(t, os.WriteFile(lockName(dir, "incident-"), []byte("1\n"), 0o600)) // a killed one's
	first, err := open(dir)
	mustDo(t, err)
	_, err = open(filepath.Join(dir, "..", filepath.Base(dir), "incident"))
	for _, says := range []string{"process " + strconv.Itoa(os.Getpid()) + " writes incidents ", "/incident-* already", " -w ", "/incident2"} {
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("a second one: %v, want %q", err, says)
		}
	}
	other, err := open(filepath.Join(dir, "web"))
	mustDo(t, err)
	mustDo(t, errors.Join(other.close(), first.close()))
	again, err := open(dir)
	mustDo(t, err)
	mustDo(t, again.close())
	if left, _ := filepath.Glob(filepath.Join(dir, "*")); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

// TestLockFollowsNoLink: whoever else may write to the directory makes root write nowhere else.
func TestLockFollowsNoLink(t *testing.T) {
	dir := t.TempDir()
	theirs := filepath.Join(dir, "theirs")
	mustDo(t, os.WriteFile(theirs, []byte("theirs"), 0o600))
	mustDo(t, os.Symlink(theirs, lockName(dir, "x-")))
	if _, err := openShelf(filepath.Join(dir, "x"), 1<<20, 10); err == nil {
		t.Error("opened")
	}
	if text, err := os.ReadFile(theirs); string(text) != "theirs" {
		t.Errorf("%q, %v", text, err)
	}
}

// TestFlightAlone: a second recorder of the same names says what to do and ends; when
// the first is killed, the next one records.
func TestFlightAlone(t *testing.T) {
	r := routes(newLab(t, lab.Options{}), 7351)[0]
	args := []string{"--ring", "4m", "--on", "signal", "port", "7351"}
	first, dir := flies(t, r, args...)
	second := start(t, tcpstory(r.client, slices.Concat([]string{"record", "-w", dir}, args)...))
	second.ends(1)
	if said := strings.Join(second.err.text(), "\n"); !strings.Contains(said, "process "+strconv.Itoa(first.cmd.Process.Pid)+" writes incidents ") {
		t.Errorf("the second says: %s", said)
	}
	mustDo(t, first.cmd.Process.Kill())
	first.wait()
	recordOf(t, r.client, dir, args...).interrupt()
	if left, _ := filepath.Glob(filepath.Join(dir, "*")); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

// TestTrafficIsPrivate: what holds traffic is its owner's alone, and what was there
// keeps the mode that somebody has given it.
func TestTrafficIsPrivate(t *testing.T) {
	dir := t.TempDir()
	for name, create := range map[string]func(path string) error{
		"recording": func(path string) error {
			f := &files{path: path}
			_, err := f.open()
			return errors.Join(err, f.close(nil))
		},
		"incident": func(path string) error {
			_ = os.Remove(path)
			f := &files{path: path, fresh: true}
			_, err := f.open()
			return errors.Join(err, f.close(nil))
		},
		"capture": func(path string) error {
			w, err := capture.Create(path, tcp.LinkEthernet, 0)
			if err != nil {
				return err
			}
			return w.Close()
		},
	} {
		path := filepath.Join(dir, name)
		for _, keeps := range []fs.FileMode{0, 0o644} {
			want := fs.FileMode(0o600)
			if keeps != 0 && name != "incident" { // which never takes what is there
				mustDo(t, os.Chmod(path, keeps))
				want = keeps
			}
			mustDo(t, create(path))
			info, err := os.Stat(path)
			mustDo(t, err)
			if info.Mode().Perm() != want {
				t.Errorf("%s: %v, want %v", name, info.Mode(), want)
			}
		}
	}
}
