// Package kernel is the live source: it loads the eBPF programs of bpf/, reads
// their one ring buffer and turns each record into a tcp.Event. It is the only
// importer of cilium/ebpf, and the only place where kernel time becomes wall
// time.
package kernel

//go:generate go tool bpf2go -target bpfel -cc clang -type event -type event_kind -type event_flag -type event_via -type life_flag -type flow_key -type half -type half_sign -go-package kernel trace ../../bpf/trace.bpf.c -- -O2 -g -Wall -Werror -I../.. -I../../bpf
