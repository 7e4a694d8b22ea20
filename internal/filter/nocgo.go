//go:build !cgo

package filter

// libpcap is C. Without cgo the build must stop, and this name says why.
var _ = set_CGO_ENABLED_1_and_install_gcc_and_libpcap_dev
