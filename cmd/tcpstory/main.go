// Command tcpstory tells the story of every TCP connection on this host: what
// the kernel's socket did, next to what the wire saw.
package main

import (
	"context"
	"os"
	"os/signal"

	"golang.org/x/sys/unix"
)

func main() {
	signal.Ignore(unix.SIGPIPE) // a closed pipe is an error to handle: see quietly
	ends := []os.Signal{unix.SIGINT, unix.SIGTERM}
	if !signal.Ignored(unix.SIGHUP) { // nohup
		ends = append(ends, unix.SIGHUP)
	}
	ctx, stop := signal.NotifyContext(context.Background(), ends...)
	context.AfterFunc(ctx, stop) // the second signal ends it even while a write blocks
	os.Exit(run(ctx, process()))
}
