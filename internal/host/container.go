package host

import "strings"

// The forms in which runtimes write a container into a cgroup path. Sources: what
// Debian 12's docker, podman, containerd, runc and lxc make; for the others their
// code and documentation.
//
//	docker-ID.scope  cri-containerd-ID.scope  crio-ID.scope  libpod-ID.scope  nerdctl-ID.scope
//	crio-ID  libpod-ID          the same without systemd
//	SLICE:cri-containerd:ID     systemd's notation handed to a runtime without systemd
//	docker/ID                   docker without systemd
//	ID                          containerd, and docker below another parent
//	TASK/TASK-DIGITS            Amazon's Fargate, 32 hexadecimal digits
//	garden/GUID                 Cloud Foundry
//	lxc.payload.NAME  lxc.payload/NAME  lxc/NAME
//	machine-NAME.scope  systemd-nspawn@NAME.service
//
// libpod-conmon-ID and crio-conmon-ID hold a container's monitor, which is outside.

// prefixes tell the runtime of a component "PREFIX-ID" or "SLICE:PREFIX:ID".
var prefixes = map[string]string{
	"docker":         docker,
	"cri-containerd": containerd,
	"nerdctl":        containerd,
	"crio":           crio,
	"libpod":         podman,
}

// The runtimes by the names that output uses.
const (
	docker     = "docker"
	podman     = "podman"
	containerd = "containerd"
	crio       = "cri-o"
	lxc        = "lxc"
	garden     = "garden"
	machined   = "systemd-machined"
	nspawn     = "systemd-nspawn"
)

// containerOf reads the innermost container out of a cgroup's path.
func containerOf(path string) Cgroup {
	c := Cgroup{Path: path}
	if strings.Contains(path, "/user@") && !strings.Contains(path, "/libpod-") {
		return c // below it a user names cgroups as he likes
	}
	for rest := path; rest != "" && c.Container == ""; {
		var component string
		rest, component = cutLast(rest)
		_, parent := cutLast(rest)
		if component != "" {
			c.read(component, parent)
		}
	}
	return c
}

// cutLast cuts the last component off a path.
func cutLast(path string) (before, component string) {
	slash := strings.LastIndexByte(path, '/')
	return path[:max(0, slash)], path[slash+1:]
}

// read sets what one component tells of a container, if anything.
func (c *Cgroup) read(component, parent string) {
	runtime, id := byID(component, parent)
	if id == "" {
		runtime, id = byPlace(component, parent)
	}
	if id != "" {
		c.Runtime, c.Container = runtime, id
		return
	}
	if runtime, name := byName(component, parent); name != "" {
		c.Runtime, c.Container, c.Name = runtime, name, name
	}
}

// byID knows the forms with an id of 64 hexadecimal digits.
func byID(component, parent string) (runtime, container string) {
	unit := strings.TrimSuffix(component, ".scope")
	if len(unit) < idLen || !isID(unit[len(unit)-idLen:]) {
		return "", ""
	}
	prefix, id := unit[:len(unit)-idLen], unit[len(unit)-idLen:]
	if prefix == "" {
		if parent == "docker" {
			return docker, id
		}
		return "", id
	}
	separator := prefix[len(prefix)-1:]
	prefix = prefix[:len(prefix)-1]
	if separator == ":" {
		prefix = prefix[strings.LastIndexByte(prefix, ':')+1:]
	}
	if runtime, ok := prefixes[prefix]; ok && (separator == ":" || separator == "-") {
		return runtime, id
	}
	return "", ""
}

// byPlace knows the ids that count as such only below a certain parent.
func byPlace(component, parent string) (runtime, container string) {
	task, number, _ := strings.Cut(component, "-")
	switch {
	case len(task) == taskLen && task == parent && isHex(task) && isNumber(number):
		return "", component
	case parent == "garden" && isGUID(component):
		return garden, component
	}
	return "", ""
}

// byName knows the runtimes that have names only.
func byName(component, parent string) (runtime, name string) {
	if name, ok := strings.CutPrefix(component, "lxc.payload."); ok {
		return lxc, name
	}
	if parent == "lxc.payload" || parent == "lxc" {
		return lxc, component
	}
	for _, unit := range []struct{ prefix, suffix, runtime string }{
		{"machine-", ".scope", machined},
		{"systemd-nspawn@", ".service", nspawn},
	} {
		name, ok := strings.CutPrefix(component, unit.prefix)
		name, isUnit := strings.CutSuffix(name, unit.suffix)
		if ok && isUnit && name != "" {
			return unit.runtime, unescapeUnit(name)
		}
	}
	return "", ""
}

const (
	idLen   = 64
	taskLen = 32
)

func isID(s string) bool { return len(s) == idLen && isHex(s) }

func isHex(s string) bool {
	return strings.Trim(s, "0123456789abcdef") == ""
}

// isNumber: one to ten digits.
func isNumber(s string) bool {
	return s != "" && len(s) <= 10 && strings.Trim(s, "0123456789") == ""
}

// isGUID: 8-4-4-4-12, or Cloud Foundry's 8-4-4-4-4.
func isGUID(s string) bool {
	groups := strings.Split(s, "-")
	if len(groups) != 5 || len(groups[4]) != 12 && len(groups[4]) != 4 || !isHex(strings.Join(groups, "")) {
		return false
	}
	return len(groups[0]) == 8 && len(groups[1]) == 4 && len(groups[2]) == 4 && len(groups[3]) == 4
}

// unescapeUnit undoes systemd's \xHH (systemd.unit(5)).
func unescapeUnit(s string) string {
	var out strings.Builder
	for {
		before, after, found := strings.Cut(s, `\x`)
		out.WriteString(before)
		if !found {
			return out.String()
		}
		if len(after) >= 2 && isHex(after[:2]) {
			out.WriteByte(hexDigit(after[0])<<4 | hexDigit(after[1]))
			after = after[2:]
		} else {
			out.WriteString(`\x`)
		}
		s = after
	}
}

func hexDigit(c byte) byte {
	return byte(strings.IndexByte("0123456789abcdef", c))
}
