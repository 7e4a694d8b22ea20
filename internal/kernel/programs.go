package kernel

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/cilium/ebpf"
)

// refusal is an optional hook that this kernel did not take, and its word for it.
// A kernel may refuse what others take (what runs at a function's exit under
// lockdown, say) without harm to the rest.
type refusal struct {
	hook *hook
	err  error
}

// errNoPlace: the function is not there, or not known to the kernel's BTF.
var errNoPlace = errors.New("this kernel has no such function")

// String says it in a line.
func (r refusal) String() string {
	return fmt.Sprintf("%s: %s (%v)", r.hook.name(), r.hook.lack, r.err)
}

// loadMaps makes the maps of spec, the constants (.rodata) and counters (.bss)
// among them, and no program.
func loadMaps(spec *ebpf.CollectionSpec, f *features) (*ebpf.Collection, error) {
	none := *spec
	none.Programs = nil
	return ebpf.NewCollectionWithOptions(&none, ebpf.CollectionOptions{Cache: f.types})
}

// loadPrograms loads the programs of spec, each by itself onto the maps of coll,
// which they join: they are attached and closed with it. An optional one that
// the kernel refuses is left out. On an error the caller closes coll.
func loadPrograms(coll *ebpf.Collection, spec *ebpf.CollectionSpec, f *features) (refusals []refusal, err error) {
	refused := loadEach(coll, spec, f)
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(refused)) {
		if h := hookOf(name); h != nil && h.optional {
			refusals = append(refusals, refusal{h, refused[name]})
		} else {
			errs = append(errs, refused[name])
		}
	}
	return refusals, errors.Join(errs...)
}

// loadEach is loadPrograms for whoever takes every refusal as it comes.
func loadEach(coll *ebpf.Collection, spec *ebpf.CollectionSpec, f *features) (refused map[string]error) {
	names := slices.Collect(maps.Keys(spec.Programs))
	programs, errs := make([]*ebpf.Program, len(names)), make([]error, len(names))
	var wg sync.WaitGroup
	for i, name := range names {
		wg.Go(func() { programs[i], errs[i] = loadOne(coll, spec, name, f) })
	}
	wg.Wait()
	refused = map[string]error{}
	for i, name := range names {
		if errs[i] == nil {
			coll.Programs[name] = programs[i]
		} else {
			refused[name] = errs[i]
		}
	}
	return refused
}

// loadOne loads one program of spec onto the maps of coll, of which it keeps
// nothing else.
func loadOne(coll *ebpf.Collection, spec *ebpf.CollectionSpec, name string, f *features) (*ebpf.Program, error) {
	h := hookOf(name)
	optional := h != nil && h.optional
	if optional && !f.has(h) {
		return nil, errNoPlace
	}
	alone := *spec
	alone.Programs = map[string]*ebpf.ProgramSpec{name: spec.Programs[name]}
	alone.Variables = nil // coll has them
	loaded, err := ebpf.NewCollectionWithOptions(&alone, ebpf.CollectionOptions{
		MapReplacements: coll.Maps, Cache: f.types,
		Programs: ebpf.ProgramOptions{LogDisabled: optional}, // a refusal is no reason to ask twice
	})
	if err != nil {
		return nil, err
	}
	program := loaded.Programs[name]
	delete(loaded.Programs, name)
	loaded.Close()
	return program, nil
}
