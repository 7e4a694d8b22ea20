package host

import (
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// A containers/storage store (podman, CRI-O, buildah) lists its containers in
// DRIVER-containers/containers.json, those that need not outlive the boot in
// volatile-containers.json beside it, or below /run in transient mode
// (containers/storage, containers.go). podman's tables of its own (libpod) are a
// database and tell nothing more.
var (
	storageDrivers = []string{"overlay", "vfs", "btrfs", "zfs"}
	storageLists   = []string{"containers.json", "volatile-containers.json"}
)

// maxStorage bounds a list: 1 KiB for each container.
const maxStorage = 16 << 20

// storageFile is a list as it was when it was read.
type storageFile struct {
	version version
	names   map[string]string // by container id
}

// version tells one writing of a file from the next: they replace it whole.
type version struct {
	changed     time.Time
	inode, size uint64
}

// versionOf returns the zero version of a file that is not there.
func versionOf(file string) version {
	var st unix.Stat_t
	if unix.Stat(file, &st) != nil {
		return version{}
	}
	return version{time.Unix(st.Mtim.Unix()), st.Ino, uint64(st.Size)}
}

// storageName is the first name that root's store knows for a container. The
// stores of users are not looked at.
func (n *Names) storageName(id string) string {
	for _, store := range []string{n.roots.Var + "/lib/containers/storage", n.roots.Run + "/containers/storage"} {
		for _, driver := range storageDrivers {
			for _, list := range storageLists {
				file := filepath.Join(store, driver+"-containers", list)
				if name := n.storageList(file)[id]; name != "" {
					return name
				}
			}
		}
	}
	return ""
}

// storageList reads a list again only when it was written.
func (n *Names) storageList(file string) map[string]string {
	now := versionOf(file)
	if now == (version{}) {
		delete(n.storage, file)
		return nil
	}
	have := n.storage[file]
	if have == nil || have.version != now {
		have = &storageFile{now, readStorage(file)}
		n.storage[file] = have
	}
	return have.names
}

func readStorage(file string) map[string]string {
	var list []struct {
		ID    string   `json:"id"`
		Names []string `json:"names"`
	}
	if readJSON(file, maxStorage, &list) != nil {
		return nil
	}
	names := make(map[string]string, len(list))
	for _, c := range list {
		if len(c.Names) > 0 {
			names[c.ID] = c.Names[0]
		}
	}
	return names
}
