package kernel_test

import (
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"tcpstory/internal/kernel"
	"tcpstory/internal/lab"
	"tcpstory/internal/tcp"
)

// TestKinIsNobody: where a process called as we are is the last to let go of a socket, that
// is no deed of a user's. The socket stays that of the process which has read from it, and
// is told of where just that one was asked for.
func TestKinIsNobody(t *testing.T) {
	const kin = "kinship"
	h := newLab(t, lab.Alone).Host(lab.Server)
	for name, c := range map[string]kernel.Config{"states": {States: true}, "lives": {Lives: true}} {
		t.Run(name, func(t *testing.T) {
			var told []tcp.Event
			c.Comms, c.Kin = []string{"head"}, kin
			s := follow(t, c, func(ev *tcp.Event) { told = append(told, *ev) }, h)
			port := closedByKin(t, h, kin)
			s.drain()
			s.end()
			told = slices.DeleteFunc(told, func(ev tcp.Event) bool { return ev.Flow.Local.Port() != port })
			var readers, closers int
			for i := range told {
				ev := &told[i]
				if comm := string(ev.Task.Name()); comm == "head" {
					readers++
				} else if ev.Task.Known() {
					t.Errorf("%s's: %+v", comm, ev)
				}
				if ev.Kind == tcp.KindState && ev.New == tcp.FinWait1 || ev.Kind == tcp.KindLife && ev.Old == tcp.FinWait2 {
					closers++
				}
			}
			if readers != 1 || closers != 1 {
				t.Errorf("%d events are head's, %d tell of the close: %+v", readers, closers, told)
			}
		})
	}
}

// closedByKin has an accepted socket read by head and then closed by kin, and returns its port.
func closedByKin(t *testing.T, h *lab.Host, kin string) uint16 {
	t.Helper()
	var client, server *net.TCPConn
	must(t, h.Within(func() error {
		l, err := net.ListenTCP("tcp4", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
		if err != nil {
			return err
		}
		defer l.Close()
		if client, err = net.DialTCP("tcp4", nil, l.Addr().(*net.TCPAddr)); err != nil {
			return err
		}
		server, err = l.AcceptTCP()
		return err
	}))
	defer client.Close()
	file, err := server.File()
	must(t, err)
	must(t, server.Close())
	_, err = client.Write([]byte{1})
	must(t, err)
	sh := filepath.Join(t.TempDir(), kin)
	must(t, os.Symlink("/bin/sh", sh))
	last := exec.Command(sh, "-c", "read until_the_end")
	last.Args[0], last.ExtraFiles = "sh", []*os.File{file}
	hold, err := last.StdinPipe()
	must(t, err)
	must(t, last.Start())
	reads := exec.Command("head", "-c", "1")
	reads.Stdin = file
	must(t, reads.Run())
	must(t, file.Close())
	must(t, hold.Close())
	_ = last.Wait()                      // read says that there was nothing
	_, err = io.Copy(io.Discard, client) // its FIN
	must(t, err)
	return uint16(server.LocalAddr().(*net.TCPAddr).Port)
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
