package host

import (
	"time"

	"golang.org/x/sys/unix"
)

// Roots are the directories under which the host keeps its files.
type Roots struct {
	Proc string // proc(5)
	Run  string // what lasts until the next boot
	Var  string // what lasts: Var/lib, Var/run
}

// lookEvery bounds how often a miss looks for changes, rescanEvery how old what
// was read may become where no change was seen (a symbolic link's target).
const (
	lookEvery   = 250 * time.Millisecond
	rescanEvery = 5 * time.Second
)

// Names looks numbers up. It is for one goroutine.
type Names struct {
	roots Roots
	now   func() time.Time

	mounts  mounts
	watched []watchedDir // of network namespace names
	netns   map[uint32]string
	host    uint32 // the network namespace of process 1; 0 unknown
	looked  time.Time
	scanned time.Time

	cgroups recent[uint64, *cgroupEntry]
	lack    error // why the last cgroup could not be looked up
	storage map[string]*storageFile
}

// New prepares looking at the host that we run on. Close it after use.
func New() *Names {
	return NewAt(Roots{Proc: "/proc", Run: "/run", Var: "/var"})
}

// NewAt is New with files elsewhere, for tests.
func NewAt(roots Roots) *Names {
	return &Names{
		roots:   roots,
		now:     time.Now,
		mounts:  openMounts(roots.Proc + "/self/mountinfo"),
		cgroups: recent[uint64, *cgroupEntry]{limit: maxCgroups},
		storage: map[string]*storageFile{},
	}
}

// Close ends watching the mounts.
func (n *Names) Close() error {
	return n.mounts.close()
}

// refresh reads again what changed since, at most every lookEvery.
func (n *Names) refresh() {
	now := n.now()
	if !n.looked.IsZero() && now.Sub(n.looked) < lookEvery {
		return
	}
	changed := n.mounts.changed() || n.dirsChanged()
	if n.looked = now; changed || now.Sub(n.scanned) >= rescanEvery {
		n.scanned = now
		n.mounts.read()
		n.scanNetns()
	}
}

// inodeOf returns the inode behind path, links followed: for a namespace's file
// what the kernel calls ns.inum.
func inodeOf(path string) (dev, inode uint64, err error) {
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return 0, 0, err
	}
	return uint64(st.Dev), st.Ino, nil
}
