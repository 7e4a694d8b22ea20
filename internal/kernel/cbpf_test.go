package kernel

import (
	"encoding/binary"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/rlimit"
	"golang.org/x/sys/unix"

	"tcpstory/internal/filter"
	"tcpstory/internal/filter/filtertest"
	"tcpstory/internal/tcp"
)

// The frame of testdata/cbpf.c.
const (
	testDataOff = 8
	testBufSize = 512
)

// cbpfBench runs translated filters in the kernel over frames in a map.
type cbpfBench struct {
	spec   *ebpf.CollectionSpec
	frames *ebpf.Map
	t      testing.TB
}

func newCBPFBench(t testing.TB) *cbpfBench {
	t.Helper()
	object := filepath.Join(t.TempDir(), "cbpf.o")
	out, err := exec.Command("clang", "-target", "bpf", "-O2", "-g", "-Wall", "-Werror", "-c", "testdata/cbpf.c", "-o", object).CombinedOutput()
	if err != nil {
		t.Fatalf("clang: %v (apt-get install clang): %s", err, out)
	}
	if err := rlimit.RemoveMemlock(); err != nil {
		t.Fatalf("%v: run the tests as root", err)
	}
	spec, err := ebpf.LoadCollectionSpec(object)
	if err != nil {
		t.Fatal(err)
	}
	frames, err := ebpf.NewMap(spec.Maps["frames"])
	if err != nil {
		t.Fatalf("%v: run the tests as root", err)
	}
	t.Cleanup(func() { frames.Close() })
	return &cbpfBench{spec, frames, t}
}

// put fills the map.
func (b *cbpfBench) put(packets []filtertest.Packet) {
	b.t.Helper()
	for i, p := range packets {
		value := make([]byte, testDataOff+testBufSize)
		binary.NativeEndian.PutUint32(value, uint32(len(p.Frame)))
		binary.NativeEndian.PutUint32(value[4:], p.Wire)
		copy(value[testDataOff:], p.Frame)
		if err := b.frames.Put(uint32(i), value); err != nil {
			b.t.Fatal(err)
		}
	}
}

// load translates a program and loads both programs that share its stub.
func (b *cbpfBench) load(insns []filter.Insn) (*ebpf.Program, error) {
	b.t.Helper()
	body, err := translate(insns, "filter", testDataOff, testBufSize)
	if err != nil {
		return nil, err
	}
	spec := b.spec.Copy()
	for _, ps := range spec.Programs {
		if err := replaceBody(ps, "filter", body); err != nil {
			return nil, err
		}
	}
	coll, err := ebpf.NewCollectionWithOptions(spec, ebpf.CollectionOptions{
		MapReplacements: map[string]*ebpf.Map{"frames": b.frames},
	})
	if err != nil {
		return nil, err
	}
	judge := coll.DetachProgram("judge")
	coll.Close()
	return judge, nil
}

// verdict runs a loaded program over one frame of the map.
func (b *cbpfBench) verdict(judge *ebpf.Program, index int) int {
	b.t.Helper()
	ret, err := judge.Run(&ebpf.RunOptions{Context: uint32(index)})
	if err != nil {
		b.t.Fatal(err)
	}
	return int(int32(ret))
}

// compare runs a program over all packets, and returns how often each verdict came.
func (b *cbpfBench) compare(name string, insns []filter.Insn, packets []filtertest.Packet) (seen [4]int) {
	b.t.Helper()
	judge, err := b.load(insns)
	if err != nil {
		b.t.Errorf("%s: %+v", name, err)
		return seen
	}
	defer judge.Close()
	for i, p := range packets {
		o := oracle{frame: p.Frame, wire: p.Wire, bufSize: testBufSize}
		want, got := o.judge(insns), b.verdict(judge, i)
		if got != want {
			b.t.Errorf("%s, packet %d (%d of %d bytes) %x: verdict %d, want %d\n%v", name, i, len(p.Frame), p.Wire, p.Frame, got, want, insns)
			return seen
		}
		seen[got]++
	}
	return seen
}

// In the kernel every expression gives the verdicts it must, and matches
// exactly where the interpreter matches.
func TestTranslateExpressions(t *testing.T) {
	b := newCBPFBench(t)
	var seen [4]int
	for _, link := range []tcp.LinkType{tcp.LinkEthernet, tcp.LinkRaw} {
		packets := filtertest.Packets(link, 600, 11)
		b.put(packets)
		for _, expr := range filtertest.Expressions {
			p, err := filter.Compile(expr, link)
			if err != nil {
				continue // refused for this link type
			}
			matches := 0
			for _, packet := range packets {
				if p.Match(packet.Frame, packet.Wire) {
					matches++
				}
			}
			once := b.compare(expr, p.Insns, packets)
			if !t.Failed() && once[verdictMatch] != matches {
				t.Errorf("%q: %d matches, the interpreter finds %d", expr, once[verdictMatch], matches)
			}
			for v := range once {
				seen[v] += once[v]
			}
		}
	}
	t.Logf("no %d, match %d, short %d, beyond %d", seen[0], seen[1], seen[2], seen[3])
	if seen[0] == 0 || seen[1] == 0 || seen[2] == 0 || seen[3] == 0 {
		t.Error("a verdict was never seen")
	}
}

func TestTranslateRandomPrograms(t *testing.T) {
	b := newCBPFBench(t)
	packets := filtertest.Packets(tcp.LinkEthernet, 30, 12)
	b.put(packets)
	var seen [4]int
	for seed := range uint64(1500) {
		once := b.compare("random", filtertest.RandomProgram(seed), packets)
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
		for v := range once {
			seen[v] += once[v]
		}
	}
	t.Logf("no %d, match %d, short %d, beyond %d", seen[0], seen[1], seen[2], seen[3])
	if seen[0] == 0 || seen[1] == 0 || seen[2] == 0 || seen[3] == 0 {
		t.Error("a verdict was never seen")
	}
}

// A projection runs in the same stub, over the tuple alone.
func TestTranslateProjections(t *testing.T) {
	b := newCBPFBench(t)
	tuples := []filtertest.Packet{}
	for _, p := range filtertest.Packets(tcp.LinkRaw, 400, 13) {
		if len(p.Frame) >= 24 && p.Frame[0] == 0x45 {
			tuples = append(tuples, filtertest.Packet{Frame: p.Frame[12:24], Wire: filter.Tuple4Len})
		}
	}
	b.put(tuples)
	matched := 0
	for _, expr := range filtertest.Expressions {
		p, err := filter.Compile(expr, tcp.LinkEthernet)
		if err != nil {
			t.Fatal(err)
		}
		projection, ok := p.Project(true)
		if !ok {
			t.Errorf("%q: no projection", expr)
			continue
		}
		seen := b.compare(expr, projection, tuples)
		if seen[verdictShort]+seen[verdictBeyond] > 0 {
			t.Errorf("%q: the tuple does not suffice", expr)
		}
		matched += seen[verdictMatch]
	}
	if matched == 0 {
		t.Error("no tuple matched")
	}
}

// The data array is readable to its last byte, and not beyond.
func TestTranslateEdge(t *testing.T) {
	b := newCBPFBench(t)
	full := filtertest.Packet{Frame: make([]byte, testBufSize), Wire: 600}
	b.put([]filtertest.Packet{full})
	at := func(x, k uint32) []filter.Insn {
		return []filter.Insn{{Code: unix.BPF_LDX | unix.BPF_IMM, K: x}, {Code: unix.BPF_LD | unix.BPF_IND, K: k}, {Code: unix.BPF_RET, K: 1}}
	}
	for _, c := range []struct {
		insns []filter.Insn
		want  int
	}{
		{[]filter.Insn{{Code: unix.BPF_LD | unix.BPF_ABS, K: testBufSize - 4}, {Code: unix.BPF_RET, K: 1}}, verdictMatch},
		{at(testBufSize-4, 0), verdictMatch}, {at(testBufSize-3, 0), verdictBeyond}, {at(0, testBufSize), verdictBeyond},
		{at(596, 0), verdictBeyond}, {at(597, 0), verdictNo}, {at(1, 596), verdictNo}, {at(0xffffffff, 0xffffffff), verdictNo},
	} {
		if seen := b.compare("edge", c.insns, []filtertest.Packet{full}); seen[c.want] != 1 {
			t.Errorf("%v: %v", c.insns, seen)
		}
	}
}

// Long expressions pass the verifier too.
func TestTranslateLongExpression(t *testing.T) {
	b := newCBPFBench(t)
	terms := make([]string, 250)
	for i := range terms {
		terms[i] = "ip host 10." + string(rune('0'+i%10)) + "." + string(rune('0'+i/10%10)) + "." + string(rune('0'+i/100)) + " and not tcp port " + string(rune('1'+i%9)) + "1"
	}
	p, err := filter.Compile(strings.Join(terms, " or "), tcp.LinkEthernet)
	if err != nil {
		t.Fatal(err)
	}
	packets := filtertest.Packets(tcp.LinkEthernet, 200, 14)
	b.put(packets)
	b.compare("long", p.Insns, packets)
	t.Logf("%d instructions", len(p.Insns))
}

func TestTranslateErrors(t *testing.T) {
	ret := filter.Insn{Code: unix.BPF_RET}
	for want, insns := range map[string][]filter.Insn{
		"looks at the first 512": {{Code: unix.BPF_LD | unix.BPF_H | unix.BPF_ABS, K: 511}, ret},
		"byte 4294967298":        {{Code: unix.BPF_LD | unix.BPF_ABS, K: 0xffffffff}, ret},
		"unknown instruction":    {{Code: 0xfff}, ret},
		"1 to 4096":              {},
	} {
		if _, err := translate(insns, "filter", testDataOff, testBufSize); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q, got %v", want, err)
		}
	}
	if _, err := translate([]filter.Insn{ret}, "filter", 40000, 4096); err == nil {
		t.Error("a load's offset cannot be that large")
	}
	var a assembler
	end := a.newLabel()
	a.jump(asm.JEq.Imm(asm.R0, 0, ""), end)
	for range 40000 {
		a.emit(asm.Mov.Imm(asm.R0, 0))
	}
	a.place(end)
	a.emit(asm.Return())
	if _, err := a.finish(); err == nil || !strings.Contains(err.Error(), "too long") {
		t.Errorf("a jump that far: %v", err)
	}
}

func TestReplaceBodyWithoutStub(t *testing.T) {
	ps := &ebpf.ProgramSpec{Name: "packet_in", Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, 0).WithSymbol("packet_in"), asm.Return()}}
	body := asm.Instructions{asm.Mov.Imm(asm.R0, 0), asm.Return()}
	if err := replaceBody(ps, "filter", body); err == nil || !strings.Contains(err.Error(), "packet_in") {
		t.Errorf("got %v", err)
	}
}

// Whatever the instructions, translate returns.
func FuzzTranslate(f *testing.F) {
	for seed := range uint64(20) {
		f.Add(encodeInsns(filtertest.RandomProgram(seed)))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		insns := decodeInsns(raw)
		body, err := translate(insns, "filter", testDataOff, testBufSize)
		if err == nil && len(body) == 0 {
			t.Error("neither body nor error")
		}
	})
}

func encodeInsns(p []filter.Insn) (raw []byte) {
	for _, in := range p {
		raw = binary.LittleEndian.AppendUint16(raw, in.Code)
		raw = binary.LittleEndian.AppendUint32(append(raw, in.Jt, in.Jf), in.K)
	}
	return raw
}

func decodeInsns(raw []byte) (p []filter.Insn) {
	for ; len(raw) >= 8; raw = raw[8:] {
		p = append(p, filter.Insn{Code: binary.LittleEndian.Uint16(raw), Jt: raw[2], Jf: raw[3], K: binary.LittleEndian.Uint32(raw[4:])})
	}
	return p
}
