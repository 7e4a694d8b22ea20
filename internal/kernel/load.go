package kernel

import (
	"errors"
	"fmt"
	"math"
	"os"
	"slices"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/cilium/ebpf/rlimit"
	"golang.org/x/sys/unix"

	"tcpstory/internal/filter"
)

// ErrRights means that the caller may not load BPF programs.
var ErrRights = errors.New("loading BPF programs needs root, or CAP_BPF with CAP_PERFMON: run it with sudo")

// setting is one constant of bpf/, set before the verifier sees the programs.
type setting struct {
	name  string
	value any
}

func (c *Config) settings(f *features, dev *device) []setting {
	var netns [MaxNetns]uint32
	copy(netns[:], c.Netns)
	return []setting{
		{traceVarHaveCookieHelper, f.cookieHelper},
		{traceVarHaveDynptr, f.dynptr},
		{traceVarHaveSocketStorage, f.socketStorage},
		{traceVarHaveRdonlyCast, f.rdonlyCast},
		{traceVarDropTellsReason, f.dropReason},
		{traceVarDropTellsSocket, f.dropSock},
		{traceVarDropIgnored, f.ignoredDrops()},
		{traceVarDropNotSpecified, f.unspecifiedDrop()},
		{traceVarResetTellsReason, f.resetReason},
		{traceVarRetransmitTellsResult, f.retransmitResult},
		{traceVarShowPackets, c.Packets && !dev.tapped},
		{traceVarSnapLen, uint32(c.snaplen())},
		{traceVarWakeWindow, uint32(c.snaplen() + recordLen + 2*ringHeader)},
		{traceVarCopyLen, uint32(c.copyLen())},
		{traceVarFetchLen, uint32(c.fetchLen())},
		{traceVarSkipMiddle, c.SkipMiddle},
		{traceVarGather, c.Snaplen > DefaultSnaplen},
		{traceVarKeepQuotes, c.Quotes},
		{traceVarJudgeTagged, c.Tagged},
		{traceVarAllHops, c.Forwarded || c.Device != ""},
		{traceVarWantIn, !c.NoIn},
		{traceVarWantOut, !c.NoOut},
		{traceVarOwnPid, ownPID()},
		{traceVarHz, uint32((time.Second + tick()/2) / tick())},
		{traceVarNetnsCount, uint32(len(c.Netns))},
		{traceVarNetnsOnly, netns},
	}
}

// maxReasons is MAX_REASONS of bpf/drop.h.
const maxReasons = 256

func (f *features) ignoredDrops() [maxReasons]uint8 {
	var ignored [maxReasons]uint8
	for value, name := range f.names("skb_drop_reason", dropPrefix) {
		if value < maxReasons && f.isOrdinary(name) {
			ignored[value] = 1
		}
	}
	return ignored
}

// unspecifiedDrop is the reason of a drop that has none, in this kernel's numbers;
// what no drop has, where the kernel gives no reasons.
func (f *features) unspecifiedDrop() uint32 {
	for value, name := range f.names("skb_drop_reason", dropPrefix) {
		if name == "NOT_SPECIFIED" {
			return value
		}
	}
	return math.MaxUint32
}

const (
	dropPrefix  = "SKB_DROP_REASON_"
	resetPrefix = "SK_RST_REASON_"
)

// specification is the committed object with everything set that this
// configuration and this kernel ask for, and with the programs that it wants.
func specification(c *Config, f *features, dev *device) (*ebpf.CollectionSpec, error) {
	spec, err := loadTrace()
	if err != nil {
		return nil, err
	}
	settings := slices.Concat(c.settings(f, dev), c.choices(), dev.settings())
	for _, s := range settings {
		if err := spec.Variables[s.name].Set(s.value); err != nil {
			return nil, fmt.Errorf("set %s for the BPF programs: %w", s.name, err)
		}
	}
	if !c.Lives {
		spec.Maps[traceMapLifeSlots].MaxEntries = 1 // 3 MiB for nothing
	}
	if !c.SkipMiddle {
		spec.Maps[traceMapStreams].MaxEntries = 1
	}
	if c.RingSize > 0 {
		spec.Maps[traceMapEvents].MaxEntries = uint32(c.RingSize)
	}
	if err := spec.Variables[traceVarWakeBytes].Set(c.wakeAt(spec.Maps[traceMapEvents].MaxEntries)); err != nil {
		return nil, err
	}
	keepWanted(spec, c, f, dev)
	return spec, injectFilter(spec, c)
}

// keepWanted removes the programs that this run does not attach.
func keepWanted(spec *ebpf.CollectionSpec, c *Config, f *features, dev *device) {
	wanted := map[string]bool{traceProgPacketTap: dev.tapped && c.Packets}
	for i := range hooks {
		h := &hooks[i]
		wanted[h.program] = (h.optional || f.has(h)) && c.wants(h, dev) && !wanted[h.instead]
	}
	for name := range spec.Programs {
		if !wanted[name] {
			delete(spec.Programs, name)
		}
	}
}

// wants says whether this view needs the hook. Packets out are looked at for
// the socket view too: they tell the local port of a SYN_SENT socket.
func (c *Config) wants(h *hook, dev *device) bool {
	switch {
	case h.part == partLives:
		return c.Lives
	case c.Lives && h.program == traceProgWalkFiles:
		return true
	case h.program == traceProgPacketOut:
		return c.States || c.Packets && !dev.tapped
	case h.part == partPackets:
		return c.Packets && !dev.tapped
	}
	return c.States
}

func injectFilter(spec *ebpf.CollectionSpec, c *Config) error {
	stubs := []struct {
		name    string
		program *filter.Program
	}{{"filter_ether", c.Ether}, {"filter_raw", c.Raw}}
	for _, name := range []string{traceProgPacketIn, traceProgPacketOut, traceProgPacketTap} {
		program := spec.Programs[name]
		if program == nil {
			continue
		}
		for _, s := range stubs {
			if s.program == nil {
				continue
			}
			body, err := translate(s.program.Insns, s.name, recordLen, frameRoom)
			if err != nil {
				return err
			}
			if err := replaceBody(program, s.name, body); err != nil {
				return err
			}
		}
	}
	return nil
}

// loadFor specifies and loads. From 6.4 to 6.11 the kernel has bpf_dynptr_from_skb
// but refuses it to tracing programs, and its BTF does not tell: then once more
// without.
func loadFor(c *Config, f *features, dev *device) (*ebpf.Collection, []refusal, error) {
	spec, err := specification(c, f, dev)
	if err != nil {
		return nil, nil, err
	}
	coll, refusals, err := load(spec, f)
	if err != nil && f.dynptr && !errors.Is(err, ErrRights) {
		f.dynptr = false
		if coll, refusals, again := loadFor(c, f, dev); again == nil {
			return coll, refusals, nil
		}
	}
	return coll, refusals, err
}

// load makes the maps, then loads the programs onto them side by side: most of
// the time to start is the verifier's, which works for root on every CPU at once.
func load(spec *ebpf.CollectionSpec, f *features) (*ebpf.Collection, []refusal, error) {
	if err := rlimit.RemoveMemlock(); err != nil {
		return nil, nil, refused(fmt.Errorf("raise RLIMIT_MEMLOCK for BPF maps: %w", err))
	}
	coll, err := loadMaps(spec, f)
	if err != nil {
		return nil, nil, refused(fmt.Errorf("make BPF maps: %w", err))
	}
	refusals, err := loadPrograms(coll, spec, f)
	if err != nil {
		coll.Close()
		return nil, nil, refused(fmt.Errorf("load BPF programs: %w", err))
	}
	return coll, refusals, nil
}

// refused words a refusal that the caller's missing rights explain; lockdown
// and seccomp refuse root too, and keep their own words.
func refused(err error) error {
	if errors.Is(err, unix.EPERM) && !hasRights() {
		return ErrRights
	}
	return err
}

// hasRights asks for CAP_BPF and CAP_PERFMON (capabilities(7)), or CAP_SYS_ADMIN
// which stands for both.
func hasRights() bool {
	has := capabilities()
	return has(unix.CAP_SYS_ADMIN) || has(unix.CAP_BPF) && has(unix.CAP_PERFMON)
}

// capabilities answers for each capability whether this process has it.
func capabilities() func(bit int) bool {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if unix.Capget(&header, &data[0]) != nil {
		return func(int) bool { return os.Geteuid() == 0 }
	}
	return func(bit int) bool { return data[bit/32].Effective&(1<<(bit%32)) != 0 }
}

// attach puts the programs on their places. An optional one that is refused
// leaves the collection.
func attach(coll *ebpf.Collection) (links []link.Link, refusals []refusal, err error) {
	for i := range hooks {
		h := &hooks[i]
		program := coll.Programs[h.program]
		if program == nil || h.site == onWalk {
			continue
		}
		l, err := link.AttachTracing(link.TracingOptions{Program: program})
		switch {
		case err == nil:
			links = append(links, l)
		case h.optional:
			refusals = append(refusals, refusal{h, err})
			delete(coll.Programs, h.program)
			program.Close()
		default:
			return nil, nil, errors.Join(fmt.Errorf("attach to %s: %w", h.name(), err), closeAll(links))
		}
	}
	return links, refusals, nil
}

// closeAll detaches in reverse: nothing must be told of a socket whose birth was
// not, and the last transitions must not come without their packets.
func closeAll(links []link.Link) error {
	var errs []error
	for _, l := range slices.Backward(links) {
		errs = append(errs, l.Close())
	}
	return errors.Join(errs...)
}

// firstPIDs is the host's own PID namespace (PROC_PID_INIT_INO, include/linux/proc_ns.h).
const firstPIDs = "pid:[4026531836]"

// InFirstPIDs reports whether the process numbers that we see are the host's, as
// the programs see them.
func InFirstPIDs() bool {
	link, err := os.Readlink("/proc/self/ns/pid")
	return err == nil && link == firstPIDs
}

// ownPID is ours as the programs see it; 0: not to be known, in a PID namespace.
func ownPID() uint32 {
	if !InFirstPIDs() {
		return 0
	}
	return uint32(os.Getpid())
}
