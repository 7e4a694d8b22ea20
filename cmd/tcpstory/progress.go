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
// where standard error is none, or where lines that scroll tell enough.
type progress struct {
	*os.File
	to          io.Writer
	begun, next time.Time
	read, size  int64
	told        bool
}

// newProgress wraps a file where that makes sense.
func newProgress(e *env, f *os.File) io.Reader {
	stderr, ok := e.stderr.(*os.File)
	if !ok || e.terminal || !term.IsTerminal(int(stderr.Fd())) {
		return f
	}
	p := &progress{File: f, to: stderr, begun: time.Now()}
	p.next = p.begun.Add(progressEvery)
	if info, err := f.Stat(); err == nil && info.Mode().IsRegular() {
		p.size = info.Size()
	}
	return p
}

// Read implements io.Reader.
func (p *progress) Read(b []byte) (int, error) {
	n, err := p.File.Read(b)
	p.read += int64(n)
	switch now := time.Now(); {
	case err != nil && p.told:
		fmt.Fprint(p.to, "\r\x1b[K")
		p.told = false
	case err == nil && now.After(p.next):
		p.next, p.told = now.Add(progressEvery), true
		fmt.Fprintf(p.to, "\r\x1b[K%s", p.line(now.Sub(p.begun)))
	}
	return n, err
}

func (p *progress) line(spent time.Duration) string {
	const mega = 1e6
	if p.size == 0 {
		return fmt.Sprintf("%d MB read", p.read/mega)
	}
	left := time.Duration(float64(spent) * float64(p.size-p.read) / float64(max(p.read, 1)))
	return fmt.Sprintf("%d of %d MB read (%d %%), %v left", p.read/mega, p.size/mega, 100*p.read/p.size, max(left, 0).Round(time.Second))
}
