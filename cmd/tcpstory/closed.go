package main

/*
#include <fcntl.h>

static int was_closed;

__attribute__((constructor)) static void look_at_stdout(void)
{
	was_closed = fcntl(1, F_GETFD) < 0;
}

static int stdout_was_closed(void) { return was_closed; }
*/
import "C"

import "errors"

// stdoutClosed reports whether this process was started with its standard
// output closed (>&-). Only code that runs before Go's runtime can tell: the
// runtime opens /dev/null in the place of what is missing.
func stdoutClosed() bool { return C.stdout_was_closed() != 0 }

var errStdoutClosed = errors.New("standard output is closed: nothing can be shown (give it a file or a pipe, or write packets with -w FILE)")
