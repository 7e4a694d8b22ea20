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
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGINT, unix.SIGTERM)
	defer stop()
	os.Exit(run(ctx, process()))
}
