package main

import (
	"bufio"
	"io"
	"os/exec"
	"strings"
	"testing"

	"tcpstory/internal/record"
	"tcpstory/internal/tcp"
)

// TestProgress: a reading that takes long tells on a terminal how far it is, and
// takes that back at its end; into a file nothing is told.
func TestProgress(t *testing.T) {
	for _, onTerminal := range []bool{true, false} {
		term := newTerminal(t, 80)
		e := &endless{n: 1 << 40}
		e.w = record.NewWriter(&e.buf, record.About{Link: tcp.LinkEthernet}, record.RowsJournal)
		cmd := exec.Command("tcpstory", "-r", "-", "port 9")
		cmd.Env = plainEnv()
		in, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		var said strings.Builder
		cmd.Stderr = &said
		if onTerminal {
			cmd.Stderr = term.program
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		told := make(chan string, 1)
		if onTerminal {
			go func() {
				text, _ := bufio.NewReader(term).ReadString('d') // of "MB read"
				told <- text
			}()
		} else {
			e.n = 20 << 20
		}
		text := feed(t, in, e, told)
		if err := cmd.Wait(); err != nil {
			t.Fatal(err)
		}
		if onTerminal && (!strings.HasPrefix(text, "\r\x1b[K") || !strings.HasSuffix(text, " MB read")) {
			t.Errorf("on a terminal it says %q", text)
		}
		if said.Len() > 0 {
			t.Errorf("into a file it says %q", said.String())
		}
	}
}

// feed writes to in what e gives, until something is told or e is at its end.
func feed(t *testing.T, in io.WriteCloser, e *endless, told <-chan string) (text string) {
	t.Helper()
	defer in.Close()
	buf := make([]byte, 64<<10)
	for {
		select {
		case text = <-told:
			return text
		default:
		}
		n, err := e.Read(buf)
		if err == io.EOF {
			return ""
		}
		if _, err := in.Write(buf[:n]); err != nil {
			t.Fatal(err)
		}
	}
}
