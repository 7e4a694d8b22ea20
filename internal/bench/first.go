package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"tcpstory/internal/lab"
	"tcpstory/internal/tcp"
)

// Start is how long a tool took from exec to the first event on a terminal.
type Start struct {
	Tool   string  `json:"tool"`
	Millis float64 `json:"first_event_ms"`
}

// trickleRate is the rate of connections while tools start: there is always
// something to tell within a millisecond.
const trickleRate = 1000

// starts measures the tools' starts.
func (b *bench) starts(ctx context.Context) error {
	for i := range min(b.Pairs, maxStarts) {
		b.look()
		b.Tell(fmt.Sprintf("first events, %d of %d", i+1, min(b.Pairs, maxStarts)))
		for _, t := range b.Tools {
			if t.binary {
				continue
			}
			d, err := b.firstEvent(ctx, t)
			if err != nil {
				return err
			}
			b.report.Starts = append(b.report.Starts, Start{Tool: t.Name, Millis: micros(d) / 1000})
		}
	}
	return nil
}

// firstEvent starts a tool at a terminal beside a trickle of connections.
func (b *bench) firstEvent(ctx context.Context, t *Tool) (d time.Duration, err error) {
	err = onHost(ctx, func(h *lab.Host) error {
		trickle, stop := context.WithCancel(ctx)
		ended := make(chan error, 1)
		go func() {
			_, err := lab.Load(trickle, h, lab.LoadOptions{Rate: trickleRate, Duration: time.Hour})
			ended <- err
		}()
		if err = awaitTraffic(ctx, h); err == nil {
			d, err = b.timeFirst(ctx, h, t)
		}
		stop()
		if over := <-ended; err == nil && !errors.Is(over, context.Canceled) {
			err = fmt.Errorf("the load ended early: %w", over)
		}
		return err
	})
	return d, err
}

// awaitTraffic returns when the first connection is over.
func awaitTraffic(ctx context.Context, h *lab.Host) error {
	var failed error
	err := await(ctx, readyWait, func() bool {
		var socks []lab.Socket
		socks, failed = h.Sockets(lab.IPv4)
		for _, s := range socks {
			if s.State == tcp.TimeWait {
				return true
			}
		}
		return failed != nil
	})
	if err = errors.Join(err, failed); err != nil {
		return fmt.Errorf("wait for the load's first connection: %w", err)
	}
	return nil
}

func (b *bench) timeFirst(ctx context.Context, h *lab.Host, t *Tool) (time.Duration, error) {
	screen, tty, err := terminal()
	if err != nil {
		return 0, err
	}
	defer screen.Close()
	p, err := start(ctx, h, t, b.Tracer, tty)
	tty.Close()
	if err != nil {
		return 0, err
	}
	defer p.abandon() // killed: from here on nobody reads the terminal
	err = seeEvent(screen)
	d := time.Since(p.started)
	if err != nil {
		return 0, fmt.Errorf("wait for the first event of %s: %w: %q", t.Title(), err, tail(p.text()))
	}
	return d, nil
}

// loadSource is how the addresses that the load connects from begin.
var loadSource = []byte("127.1.")

// seeEvent reads a terminal until it shows a connection of the load.
func seeEvent(screen *os.File) error {
	if err := screen.SetReadDeadline(time.Now().Add(readyWait)); err != nil {
		return err
	}
	var seen []byte
	buf := make([]byte, 4096)
	for !bytes.Contains(seen, loadSource) {
		n, err := screen.Read(buf)
		if err != nil {
			return err
		}
		seen = append(seen, buf[:n]...)
	}
	return nil
}

// terminal makes a pseudo-terminal of 160 columns: what is shown there is read
// from screen, a program's output goes to tty.
func terminal() (screen, tty *os.File, err error) {
	fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("open /dev/ptmx: %w", err)
	}
	screen = os.NewFile(uintptr(fd), "/dev/ptmx")
	if tty, err = otherEnd(fd); err != nil {
		screen.Close()
		return nil, nil, fmt.Errorf("make a terminal: %w", err)
	}
	return screen, tty, nil
}

func otherEnd(fd int) (*os.File, error) {
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		return nil, fmt.Errorf("unlock it: %w", err)
	}
	if err := unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: 50, Col: 160}); err != nil {
		return nil, fmt.Errorf("set its size: %w", err)
	}
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		return nil, fmt.Errorf("ask for its number: %w", err)
	}
	return os.OpenFile(fmt.Sprint("/dev/pts/", n), os.O_RDWR|unix.O_NOCTTY, 0)
}
