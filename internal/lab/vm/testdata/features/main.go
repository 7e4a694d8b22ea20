// Command features says what of eBPF a kernel has, by trying it: one "name
// yes" or "name no: reason" a line.
package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/btf"
)

func main() {
	for _, p := range []struct {
		name string
		try  func() error
	}{
		{"tp_btf", func() error { return load("inet_sock_set_state") }},
		{"ringbuf", func() error { return newMap(&ebpf.MapSpec{Type: ebpf.RingBuf, MaxEntries: 4096}) }},
		{"socket_cookie", func() error { return load("inet_sock_set_state", cookie...) }},
		{"sk_storage_map", func() error { return newMap(skStorage) }},
		{"sk_storage_get", getSkStorage},
		{"dynptr_from_skb", fromSkb},
		{"enum skb_drop_reason", func() error { return enum("skb_drop_reason") }},
		{"enum sk_rst_reason", func() error { return enum("sk_rst_reason") }},
	} {
		report(p.name, p.try())
	}
	for _, name := range []string{"inet_sock_set_state", "tcp_retransmit_skb", "tcp_retransmit_synack", "tcp_send_reset",
		"tcp_receive_reset", "kfree_skb", "inet_sk_error_report", "netif_receive_skb", "net_dev_start_xmit"} {
		report("tracepoint "+name, arguments(name))
	}
}

// found is not a failure but what there is to say of a success.
type found string

func (f found) Error() string { return string(f) }

func report(name string, err error) {
	var f found
	switch {
	case errors.As(err, &f):
		fmt.Println(name, "yes:", f)
	case err != nil:
		fmt.Println(name, "no:", strings.ReplaceAll(fmt.Sprint(err), "\n", " "))
	default:
		fmt.Println(name, "yes")
	}
}

var (
	u32 = &btf.Int{Name: "u32", Size: 4}
	s32 = &btf.Int{Name: "int", Size: 4, Encoding: btf.Signed}
)

// arg0 loads the tracepoint's first argument into R1.
var arg0 = asm.LoadMem(asm.R1, asm.R1, 0, asm.DWord)

// probe is a program's own type, which the kernel wants where it calls a kfunc.
var probe = &btf.Func{Name: "probe", Linkage: btf.GlobalFunc, Type: &btf.FuncProto{
	Return: s32, Params: []btf.FuncParam{{Name: "ctx", Type: &btf.Pointer{Target: &btf.Void{}}}},
}}

var cookie = asm.Instructions{arg0, asm.FnGetSocketCookie.Call()}

// fromSkb calls bpf_dynptr_from_skb(skb, 0, &stack), which the kernel may have
// for other programs only.
func fromSkb() error {
	spec, err := btf.LoadKernelSpec()
	if err != nil {
		return err
	}
	var f *btf.Func
	if err := spec.TypeByName("bpf_dynptr_from_skb", &f); err != nil {
		return err
	}
	id, err := spec.TypeID(f)
	if err != nil {
		return err
	}
	return load("net_dev_start_xmit",
		btf.WithFuncMetadata(arg0.WithSymbol("probe"), probe),
		asm.Mov.Imm(asm.R2, 0),
		asm.Mov.Reg(asm.R3, asm.RFP),
		asm.Add.Imm(asm.R3, -16),
		asm.Instruction{
			OpCode: asm.OpCode(asm.JumpClass).SetJumpOp(asm.Call), Src: asm.PseudoKfuncCall, Constant: int64(id),
		})
}

// load loads a tp_btf program that runs body and returns 0.
func load(tracepoint string, body ...asm.Instruction) error {
	p, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Name: "probe", Type: ebpf.Tracing, AttachType: ebpf.AttachTraceRawTp, AttachTo: tracepoint, License: "GPL",
		Instructions: append(asm.Instructions(body), asm.Mov.Imm(asm.R0, 0), asm.Return()),
	})
	if err != nil {
		return err
	}
	return p.Close()
}

var skStorage = &ebpf.MapSpec{
	Type: ebpf.SkStorage, KeySize: 4, ValueSize: 4, Key: s32, Value: u32,
	Flags: 1, // BPF_F_NO_PREALLOC, which the kernel demands
}

func newMap(spec *ebpf.MapSpec) error {
	m, err := ebpf.NewMap(spec)
	if err != nil {
		return err
	}
	return m.Close()
}

func getSkStorage() error {
	m, err := ebpf.NewMap(skStorage)
	if err != nil {
		return err
	}
	defer m.Close()
	return load("inet_sock_set_state",
		asm.LoadMem(asm.R2, asm.R1, 0, asm.DWord),
		asm.LoadMapPtr(asm.R1, m.FD()),
		asm.Mov.Imm(asm.R3, 0),
		asm.Mov.Imm(asm.R4, 1),
		asm.FnSkStorageGet.Call())
}

func enum(name string) error {
	spec, err := btf.LoadKernelSpec()
	if err != nil {
		return err
	}
	var e *btf.Enum
	if err := spec.TypeByName(name, &e); err != nil {
		return err
	}
	return found(fmt.Sprintf("%d values", len(e.Values)))
}

// arguments lists a tracepoint's by the type that the kernel keeps of it.
func arguments(name string) error {
	spec, err := btf.LoadKernelSpec()
	if err != nil {
		return err
	}
	var t *btf.Typedef
	if err := spec.TypeByName("btf_trace_"+name, &t); err != nil {
		return err
	}
	proto, ok := t.Type.(*btf.Pointer).Target.(*btf.FuncProto)
	if !ok {
		return fmt.Errorf("unexpected %v", t.Type)
	}
	return found(fmt.Sprintf("%d arguments", len(proto.Params)-1)) // the first is the attachment's data
}
