package main

import (
	"encoding/json"
	"fmt"
	"os"
	"sync"

	"golang.org/x/sys/unix"

	"tcpstory/internal/lab/vm/script"
)

// port is the serial line to the host. It is safe for concurrent use: messages
// stay whole.
type port struct {
	mu   sync.Mutex
	file *os.File
	enc  *json.Encoder
}

// openPort opens a serial device in raw mode, so that no byte is changed,
// echoed or taken for a control character.
func openPort(path string) (*port, error) {
	f, err := os.OpenFile(path, os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, fmt.Errorf("open the port to the host: %w", err)
	}
	t, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	if err != nil {
		return nil, fmt.Errorf("read the modes of %s: %w", path, err)
	}
	t.Oflag &^= unix.OPOST
	t.Lflag &^= unix.ECHO | unix.ICANON | unix.ISIG
	if err := unix.IoctlSetTermios(int(f.Fd()), unix.TCSETS, t); err != nil {
		return nil, fmt.Errorf("set %s raw: %w", path, err)
	}
	return &port{file: f, enc: json.NewEncoder(f)}, nil
}

// send writes one message. If that fails the host sees no exit status, which
// it reports; there is nobody else to tell.
func (p *port) send(m script.Message) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.enc.Encode(m); err != nil {
		fmt.Println("guest: write to the host:", err)
	}
}

// problem tells the host of an error, if there is one.
func (p *port) problem(err error) {
	if err != nil {
		p.send(script.Message{Problem: err.Error()})
	}
}

// drain waits until the last byte has left the machine.
func (p *port) drain() {
	if err := unix.IoctlSetInt(int(p.file.Fd()), unix.TCSBRK, 1); err != nil {
		fmt.Println("guest: drain the port:", err)
	}
}
