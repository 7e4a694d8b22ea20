package kernel

import (
	"errors"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
)

// refuse specifies everything, with one program on a function that no kernel has,
// and loads it.
func refuse(t *testing.T, program string) (*ebpf.Collection, []refusal, error) {
	t.Helper()
	f := newFeatures(t)
	c := &Config{States: true, Packets: true, Netns: []uint32{1}}
	if hookOf(program).part == partLives {
		c = &Config{Lives: true, Netns: []uint32{1}}
	}
	spec, err := specification(c, f, &device{})
	if err != nil {
		t.Fatal(err)
	}
	if spec.Programs[program] == nil {
		t.Fatalf("%s is not among the programs", program)
	}
	spec.Programs[program].AttachTo = "no_such_function"
	return load(spec, f)
}

// An optional program that the kernel refuses is left out, with its reason, and
// all others are there; any other program's refusal is an error.
func TestRefusedPrograms(t *testing.T) {
	for i := range hooks {
		h := &hooks[i]
		if !h.optional && h.program != traceProgSetState {
			continue // one stands for all: each try takes a while
		}
		coll, refusals, err := refuse(t, h.program)
		if !h.optional {
			if err == nil {
				coll.Close()
				t.Errorf("%s was refused, and no error", h.program)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", h.program, err)
			continue
		}
		wantRefusal(t, h, refusals)
		heart := traceProgSetState
		if h.part == partLives {
			heart = traceProgLifeState
		}
		if coll.Programs[h.program] != nil || coll.Programs[heart] == nil {
			t.Errorf("without %s there are %v", h.program, coll.Programs)
		}
		coll.Close()
	}
}

func wantRefusal(t *testing.T, h *hook, refusals []refusal) {
	t.Helper()
	for _, r := range refusals {
		if r.hook != h {
			continue
		}
		if r.err == nil || !strings.Contains(r.String(), h.lack) || !strings.HasPrefix(r.String(), h.name()) {
			t.Errorf("%s is refused in these words: %s", h.program, r)
		}
		return
	}
	t.Errorf("nobody says that %s was refused: %v", h.program, refusals)
}

// A function that this kernel's BTF does not know is a refusal like any other.
func TestMissingFunction(t *testing.T) {
	f := newFeatures(t)
	h := hookOf(traceProgConnect6Failed)
	had := h.at
	h.at = "no_such_function"
	defer func() { h.at = had }()
	spec, err := specification(&Config{States: true, Netns: []uint32{1}}, f, &device{})
	if err != nil {
		t.Fatal(err)
	}
	coll, refusals, err := load(spec, f)
	if err != nil {
		t.Fatal(err)
	}
	defer coll.Close()
	wantRefusal(t, h, refusals)
	for _, r := range refusals {
		if r.hook == h && !errors.Is(r.err, errNoPlace) {
			t.Errorf("refused for another reason: %v", r.err)
		}
	}
}

// TestHooksAreDescribed: whoever lists them finds words for each, and each program once.
func TestHooksAreDescribed(t *testing.T) {
	seen := map[string]bool{}
	for i := range hooks {
		h := &hooks[i]
		if seen[h.program] || h.program == "" || h.at == "" || h.what == "" {
			t.Errorf("%+v", h)
		}
		seen[h.program] = true
		standsIn := false
		for j := range hooks {
			standsIn = standsIn || hooks[j].instead == h.program
		}
		if (h.lack == "") != standsIn {
			t.Errorf("%s: lack %q, another one stands in: %v", h.program, h.lack, standsIn)
		}
	}
}
