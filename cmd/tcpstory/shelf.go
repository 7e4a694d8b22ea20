package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"sort"
	"syscall"
	"time"

	"tcpstory/internal/flight"
)

// shelf is where the files of incidents stand, and how much room they may take. What
// an earlier run of the same user has left there with such names counts, too.
type shelf struct {
	begin string // of every name
	most  int64  // bytes of all files together
	files int    // their number
	old   []shelved
	total int64 // bytes of old, and what is claimed for files that are being written
	lock  *lock // nobody else's while it is open
}

type shelved struct {
	name string
	size int64
}

// shelfName is what stands in a name behind what the user has said.
var shelfName = regexp.MustCompile(`^\d{8}-\d{6}\.\d{3}-[a-z0-9-]+\.pcapng$`)

const shelfTime = "20060102-150405.000"

// openShelf: path is a directory, or how the names begin. It is one recorder's at a
// time: of two, each would remove the other's files.
func openShelf(path string, most int64, files int) (*shelf, error) {
	if isDir(path) {
		path = filepath.Join(path, "incident")
	}
	s := &shelf{begin: path + "-", most: most, files: files}
	dir, base := filepath.Split(s.begin)
	if dir == "" {
		dir = "."
	}
	_, err := os.Stat(dir)
	if err != nil {
		return nil, fmt.Errorf("look for earlier incidents: %w", err)
	}
	if s.lock, err = takeLock(lockName(dir, base)); err != nil {
		return nil, busyShelf(err, s.begin)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("look for earlier incidents: %w", err), s.close())
	}
	for _, e := range entries {
		name := e.Name()
		if len(name) <= len(base) || name[:len(base)] != base || !shelfName.MatchString(name[len(base):]) {
			continue
		}
		if info, err := e.Info(); err == nil && info.Mode().IsRegular() && isOurs(info) {
			s.put(filepath.Join(dir, name), info.Size())
		}
	}
	sort.Slice(s.old, func(i, j int) bool { return s.old[i].name < s.old[j].name }) // by time
	return s, nil
}

// close leaves the shelf to others.
func (s *shelf) close() error { return s.lock.release() }

// isOurs: the file is ours to remove. In a directory that others may write to, theirs
// neither go nor take room from ours.
func isOurs(info fs.FileInfo) bool {
	st, ok := info.Sys().(*syscall.Stat_t)
	return ok && int(st.Uid) == os.Geteuid()
}

var notInNames = regexp.MustCompile(`[^a-z0-9]+`)

// name is a file's that is not there yet.
func (s *shelf) name(i *flight.Incident) string {
	name := s.begin + time.Unix(0, i.Time).Format(shelfTime) + "-" + notInNames.ReplaceAllString(i.Why, "-")
	for n := 1; ; n++ {
		try := name + ".pcapng"
		if n > 1 {
			try = fmt.Sprintf("%s-%d.pcapng", name, n)
		}
		if _, err := os.Lstat(try); err != nil {
			return try
		}
	}
}

// put adds a file that has been written.
func (s *shelf) put(name string, size int64) {
	s.old = append(s.old, shelved{name, size})
	s.total += size
}

// claim takes room for a file that is being written, and removes the oldest others
// for it. It reports whether there is as much.
func (s *shelf) claim(n int64) (bool, error) {
	if n > s.most {
		return false, nil
	}
	for len(s.old) > 0 && s.total+n > s.most {
		if err := s.removeOldest(); err != nil {
			return false, err
		}
	}
	if s.total+n > s.most {
		return false, nil
	}
	s.total += n
	return true, nil
}

// another makes room for one more file besides those that are open.
func (s *shelf) another(open int) error {
	for len(s.old) > 0 && len(s.old)+open >= s.files {
		if err := s.removeOldest(); err != nil {
			return err
		}
	}
	return nil
}

func (s *shelf) removeOldest() error {
	o := s.old[0]
	s.old = s.old[1:]
	s.total -= o.size
	if err := os.Remove(o.name); err != nil && !os.IsNotExist(err) {
		return fmt.Errorf("make room for another incident: %w", err)
	}
	return nil
}
