package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"time"
)

// patience bounds one connection; an emulated machine is slow.
const patience = time.Minute

// talk makes one connection to a listener of its own: a handshake, "ping" and
// "pong", and a close in four steps with the client first.
func talk(address string) error {
	var lc net.ListenConfig
	lc.SetMultipathTCP(false) // plain TCP: an MPTCP listener is two sockets
	l, err := lc.Listen(context.Background(), "tcp", address)
	if err != nil {
		return err
	}
	defer l.Close()
	served := make(chan error, 1)
	go func() { served <- serve(l) }()
	if err := call(l.Addr().String()); err != nil {
		return fmt.Errorf("client: %w", err)
	}
	if err := <-served; err != nil {
		return fmt.Errorf("server: %w", err)
	}
	return nil
}

// serve answers one connection and closes it only after the client has.
func serve(l net.Listener) error {
	c, err := l.Accept()
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	if err := expect(c, "ping"); err != nil {
		return err
	}
	if _, err := io.WriteString(c, "pong"); err != nil {
		return err
	}
	return expectEnd(c)
}

// call is the client's side; it closes its direction first.
func call(address string) error {
	c, err := net.DialTimeout("tcp", address, patience)
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	if _, err := io.WriteString(c, "ping"); err != nil {
		return err
	}
	if err := expect(c, "pong"); err != nil {
		return err
	}
	if err := c.(*net.TCPConn).CloseWrite(); err != nil {
		return err
	}
	return expectEnd(c)
}

func expect(r io.Reader, text string) error {
	b := make([]byte, len(text))
	if _, err := io.ReadFull(r, b); err != nil {
		return fmt.Errorf("wait for %q: %w", text, err)
	}
	if string(b) != text {
		return fmt.Errorf("got %q, want %q", b, text)
	}
	return nil
}

func expectEnd(r io.Reader) error {
	switch _, err := r.Read(make([]byte, 1)); {
	case errors.Is(err, io.EOF):
		return nil
	case err != nil:
		return fmt.Errorf("wait for the end: %w", err)
	}
	return errors.New("more data where the end was due")
}
