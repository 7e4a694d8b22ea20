package main

import (
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/term"
)

// progressEvery is how often a long reading says how far it is.
const progressEvery = time.Second

// progress tells on a terminal how much of a file has been read. It writes nothing
// where standard error is none, or where lines that scroll tell enough; and into a
// pipe, of which a pager may be the end, nothing once there is something to read.
type progress struct {
	*os.File
	piped       bool
	to          io.Writer
	begun, next time.Time
	read, size  int64
	told        bool
}

// newProgress wraps a file.
func newProgress(e *env, f *os.File) *progress {
	p := &progress{File: f, begun: time.Now()}
	if stderr, ok := e.stderr.(*os.File); ok && !e.terminal && term.IsTerminal(int(stderr.Fd())) {
		p.to = stderr
	}
	p.next = p.begun.Add(progressEvery)
	if info, err := e.stdout.Stat(); err == nil {
		p.piped = info.Mode()&(os.ModeNamedPipe|os.ModeSocket) != 0
	}
	if info, err := f.Stat(); err == nil && info.Mode().IsRegular() {
		p.size = info.Size()
	}
	return p
}

// Read implements io.Reader.
func (p *progress) Read(b []byte) (int, error) {
	n, err := p.File.Read(b)
	p.read += int64(n)
	if err != nil {
		p.hush()
	} else if now := time.Now(); p.to != nil && now.After(p.next) {
		p.next, p.told = now.Add(progressEvery), true
		fmt.Fprintf(p.to, "\r\x1b[K%s", p.line(now.Sub(p.begun)))
	}
	return n, err
}

// begins is called when there is something to show.
func (p *progress) begins() {
	if p.piped {
		p.hush()
	}
}

// hush takes back what was told, and tells no more.
func (p *progress) hush() {
	if p.told {
		fmt.Fprint(p.to, "\r\x1b[K")
	}
	p.to, p.told = nil, false
}

func (p *progress) line(spent time.Duration) string {
	const mega = 1e6
	if p.size == 0 {
		return fmt.Sprintf("%d MB read", p.read/mega)
	}
	left := time.Duration(float64(spent) * float64(p.size-p.read) / float64(max(p.read, 1)))
	return fmt.Sprintf("%d of %d MB read (%d %%), %v left", p.read/mega, p.size/mega, 100*p.read/p.size, max(left, 0).Round(time.Second))
}
