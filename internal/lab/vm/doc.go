// Package vm boots Debian's kernels in QEMU, each with one static program as
// its whole user space, to see on old and new kernels what is otherwise seen
// only on the running one.
//
// Kernels fetches kernels with apt into a cache; Run boots one and returns what
// the program wrote and its exit status. The guest's process 1 is
// internal/lab/vm/guest, which Run builds. Machines are always emulated (TCG):
// nested virtualisation is not to be counted on. Needed on the host are the Go
// tool chain and the Debian packages apt, dpkg, debian-archive-keyring,
// qemu-system-x86, xz-utils and zstd.
package vm
