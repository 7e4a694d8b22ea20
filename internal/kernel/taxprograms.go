package kernel

import (
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
	"github.com/cilium/ebpf/link"
)

// programTaxes is a line for each process that has programs on a connection's
// way: those of links (tp_btf, raw tracepoints, a function's entry and exit;
// perf events where the kernel says which), and those on perf events that a
// descriptor tells of.
func programTaxes(h *held) []string {
	places, seen, err := linkedPrograms(h)
	for _, p := range h.perf {
		if !seen[p.program] && concerns(p.place) {
			places[p.holder] = append(places[p.holder], p.place)
		}
	}
	var lines []string
	for _, holder := range slices.Sorted(maps.Keys(places)) {
		who := holder
		if who == "" {
			who = "nobody that is seen from here (pinned?)"
		}
		lines = append(lines, fmt.Sprintf("BPF programs of %s run on %s", who, listed(places[holder])))
	}
	if err != nil {
		lines = append(lines, "unknown whether others' BPF programs are attached: "+reason(err))
	}
	return lines
}

// linkedPrograms are the places of links by who holds them ("": nobody known), and
// the programs of all links whose place is known.
func linkedPrograms(h *held) (places map[string][]string, seen map[ebpf.ProgramID]bool, err error) {
	places, seen = map[string][]string{}, map[ebpf.ProgramID]bool{}
	var it link.Iterator
	defer it.Close()
	for it.Next() {
		info, err := it.Link.Info()
		if err != nil {
			continue // it is going
		}
		place := placeOf(info)
		seen[info.Program] = place != "" // else the perf event that it is on may be known by its descriptor
		if concerns(place) {
			holder := h.links[it.ID]
			places[holder] = append(places[holder], place)
		}
	}
	return places, seen, it.Err()
}

// placeOf is the name of the tracepoint or function that a link is on; "": it is on
// something else, such as a cgroup, or this kernel does not say.
func placeOf(info *link.Info) string {
	if t := info.RawTracepoint(); t != nil {
		return t.Name
	}
	if t := info.Tracing(); t != nil {
		return functionOf(btf.ID(t.TargetObjectId), btf.TypeID(t.TargetBtfId))
	}
	p := info.PerfEvent()
	switch {
	case p == nil:
		return ""
	case p.Tracepoint() != nil:
		return p.Tracepoint().Tracepoint
	case p.Kprobe() != nil:
		return p.Kprobe().Function
	}
	return ""
}

// kernelTypes is the kernel's BTF, read once: 100 ms.
var kernelTypes = sync.OnceValues(btf.LoadKernelSpec)

// functionOf names a function of the kernel itself, not of a module or a program.
func functionOf(object btf.ID, id btf.TypeID) string {
	h, err := btf.NewHandleFromID(object)
	if err != nil {
		return ""
	}
	defer h.Close()
	info, err := h.Info()
	if err != nil || !info.IsVmlinux() {
		return ""
	}
	types, err := kernelTypes()
	if err != nil {
		return ""
	}
	t, err := types.TypeByID(id)
	if err != nil {
		return ""
	}
	return t.TypeName()
}
