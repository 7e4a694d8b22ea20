package kernel

import (
	"errors"
	"fmt"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/cilium/ebpf/rlimit"
	"golang.org/x/sys/unix"
)

// hooks tries each hook, and the packet socket.
func (x *examination) hooks() (all []Finding) {
	coll, refused := x.loadAll()
	if coll == nil {
		f := Finding{Group: groups[partSockets], Name: "all hooks", What: "everything that is traced"}
		err := refused[""]
		return []Finding{f.missing("nothing can be traced", reason(err), x.remedy(nil, err))}
	}
	defer coll.Close()
	tried := map[string]error{} // by program
	for i := range hooks {
		h := &hooks[i]
		if h.instead != "" && tried[h.instead] == nil {
			continue // it is not loaded
		}
		err := refused[h.program]
		switch {
		case !x.features.has(h):
			err = h.absence()
		case err == nil:
			err = try(h, coll.Programs[h.program])
		}
		tried[h.program] = err
		if err != nil && h.lack == "" {
			continue // another one stands in, and has its line
		}
		all = append(all, x.hookFinding(h, err))
	}
	err := refused[traceProgPacketTap]
	if err == nil {
		err = trySocket(coll.Programs[traceProgPacketTap])
	}
	return inGroups(append(all, x.tapFinding(err)))
}

// inGroups puts the findings of one group together.
func inGroups(all []Finding) (sorted []Finding) {
	for _, group := range groups {
		for _, f := range all {
			if f.Group == group {
				sorted = append(sorted, f)
			}
		}
	}
	return sorted
}

// loadAll loads every program that finds its place; refused[""] is why there are
// not even maps. Like loadFor, it does without bpf_dynptr_from_skb where that is
// what the kernel refuses.
func (x *examination) loadAll() (coll *ebpf.Collection, refused map[string]error) {
	f := x.features
	if err := rlimit.RemoveMemlock(); err != nil {
		return nil, map[string]error{"": err}
	}
	spec, err := specification(&Config{States: true, Packets: true, Lives: true, Netns: []uint32{noNetns}}, f, &device{})
	if err == nil {
		err = addTap(spec)
	}
	if err == nil {
		coll, err = loadMaps(spec, f)
	}
	if err != nil {
		return nil, map[string]error{"": err}
	}
	refused = loadEach(coll, spec, f)
	if refused[traceProgPacketOut] == nil || !f.dynptr {
		return coll, refused
	}
	f.dynptr = false
	again, refusedAgain := x.loadAll()
	if refusedAgain[traceProgPacketOut] != nil {
		f.dynptr = true
		if again != nil {
			again.Close()
		}
		return coll, refused
	}
	coll.Close()
	return again, refusedAgain
}

// addTap puts the packet socket's program among those of spec, which has it only
// where a device asks for it.
func addTap(spec *ebpf.CollectionSpec) error {
	all, err := loadTrace()
	if err == nil {
		spec.Programs[traceProgPacketTap] = all.Programs[traceProgPacketTap]
	}
	return err
}

// absence says in the kernel's terms that there is no such place.
func (h *hook) absence() error {
	switch {
	case h.site == onExit:
		return errNoPlace
	case h.site == onWalk:
		return errors.New("this kernel has no such iterator")
	case h.args > 0:
		return fmt.Errorf("not in this kernel with the %d arguments that are needed", h.args)
	}
	return errors.New("this kernel has no such tracepoint")
}

// try attaches a program for a moment.
func try(h *hook, p *ebpf.Program) error {
	if h.site == onWalk {
		l, err := link.AttachIter(link.IterOptions{Program: p})
		if err != nil {
			return fmt.Errorf("attach: %w", err)
		}
		return l.Close()
	}
	l, err := link.AttachTracing(link.TracingOptions{Program: p})
	if err != nil {
		return fmt.Errorf("attach: %w", err)
	}
	return l.Close()
}

// trySocket gives the program to a packet socket that is bound to no device.
func trySocket(p *ebpf.Program) error {
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open a packet socket: %w", err)
	}
	defer unix.Close(fd)
	return unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ATTACH_BPF, p.FD())
}

func (x *examination) hookFinding(h *hook, err error) Finding {
	f := Finding{Group: groups[h.part], Name: h.name(), What: h.what}
	if err == nil {
		return f
	}
	return f.missing(h.lack, reason(err), x.remedy(h, err))
}

func (x *examination) tapFinding(err error) Finding {
	f := Finding{Group: groups[partPackets], Name: "packet socket", What: "-i on a VLAN, bond, bridge and the like"}
	if err == nil {
		return f
	}
	return f.missing("such devices cannot be captured", reason(err), "run it with sudo, or give it CAP_NET_RAW")
}

// reason is an error in one line; a bare refusal has a name.
func reason(err error) string {
	var errno unix.Errno
	if errors.As(err, &errno) && !isVerdict(err) {
		return "the kernel says " + unix.ErrnoName(errno)
	}
	return strings.Join(strings.Fields(err.Error()), " ")
}

// remedy says what would help against a refusal; without a hook, of everything.
func (x *examination) remedy(h *hook, err error) string {
	denied := errors.Is(err, unix.EPERM) || errors.Is(err, unix.EACCES) && !isVerdict(err)
	absent := h != nil && !x.features.has(h)
	switch {
	case absent && h.since != "":
		return "a kernel from " + h.since + " on"
	case absent && h.site == onExit:
		return "a kernel that has " + h.at + " built in, not as a module"
	case absent:
		return "a kernel that has it, from 5.10 on"
	case denied && x.lockdown == "":
		return "lockdown, a security module or a seccomp filter may be why: sudo tcpstory doctor says more"
	case denied && x.mayRefuse():
		return "lockdown=" + x.lockdown + " may be why: boot with lockdown=none, or do without; the rest is whole"
	case denied:
		return "a security module or a container's seccomp filter may be why: run it outside"
	case h != nil && h.site == onExit:
		return "a kernel with CONFIG_DYNAMIC_FTRACE_WITH_DIRECT_CALLS=y"
	}
	return "none that we know: please report this"
}

// isVerdict: the verifier's refusals are EACCES too, with its log.
func isVerdict(err error) bool {
	var verdict *ebpf.VerifierError
	return errors.As(err, &verdict) && len(verdict.Log) > 0
}

// abilities are what the hooks tell on newer kernels only. Without the hook its
// own line says enough.
func (x *examination) abilities() (all []Finding) {
	for i := range abilities {
		a := &abilities[i]
		if h := hookOf(a.program); !x.features.has(h) || a.pointless(x.features) {
			continue
		}
		f := Finding{Group: groupAbilities, Name: a.name, What: a.what}
		if !a.has(x.features) {
			f = f.missing(a.lack, "", "a kernel from "+a.since+" on")
		}
		all = append(all, f)
	}
	return all
}
