// Command box is the only process of a container: it says that it is up, does what
// its standard input orders, a line each, and ends with it. Tests build it as a
// static binary.
//
//	listen PORT    on its own loopback device, in one process with all others
//	converse PORT  a connection to there, a request and its answer; the client closes first
package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
)

func main() {
	fmt.Println("up")
	orders := bufio.NewScanner(os.Stdin)
	var listener net.Listener
	for orders.Scan() {
		order, port, _ := strings.Cut(orders.Text(), " ")
		var err error
		switch order {
		case "listen":
			listener, err = listen(port)
		case "converse":
			err = converse(listener, port)
		default:
			err = fmt.Errorf("there is no order %q", order)
		}
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		fmt.Println("done")
	}
}

// listen makes a plain TCP socket: Go's default is MPTCP.
func listen(port string) (net.Listener, error) {
	var lc net.ListenConfig
	lc.SetMultipathTCP(false)
	return lc.Listen(context.Background(), "tcp4", "127.0.0.1:"+port)
}

func converse(listener net.Listener, port string) error {
	client, err := net.Dial("tcp4", "127.0.0.1:"+port)
	if err != nil {
		return err
	}
	server, err := listener.Accept()
	if err != nil {
		return err
	}
	request, answer := []byte("request"), []byte("answer")
	for _, say := range []struct {
		from, to net.Conn
		text     []byte
	}{{client, server, request}, {server, client, answer}} {
		if _, err := say.from.Write(say.text); err != nil {
			return err
		}
		if _, err := io.ReadFull(say.to, make([]byte, len(say.text))); err != nil {
			return err
		}
	}
	if err := client.Close(); err != nil {
		return err
	}
	if n, err := server.Read(request); n != 0 || err != io.EOF {
		return fmt.Errorf("instead of the end: %d bytes, %v", n, err)
	}
	return server.Close()
}
