package main

/*
#include <stdlib.h>
#include <time.h>
*/
import "C"

import (
	"time"
	"unsafe"
)

// strftime is the C library's (strftime(3)), local time: the names of files are
// those that tcpdump would give them.
func strftime(format string, at time.Time) string {
	const longest = 4096 // PATH_MAX
	f := C.CString(format)
	defer C.free(unsafe.Pointer(f))
	clock := C.time_t(at.Unix())
	var tm C.struct_tm
	C.localtime_r(&clock, &tm)
	out := make([]byte, longest)
	n := C.strftime((*C.char)(unsafe.Pointer(&out[0])), longest, f, &tm)
	if n == 0 {
		return format // too long, or empty
	}
	return string(out[:n])
}
