package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"

	"golang.org/x/sys/unix"

	"tcpstory/internal/tcp"
)

// nginxConf keeps nginx in one process and everything it writes in its prefix.
const nginxConf = `daemon off;
master_process off;
pid nginx.pid;
error_log stderr;
events { }
http {
	access_log off;
	client_body_temp_path body;
	fastcgi_temp_path fastcgi;
	proxy_temp_path proxy;
	scgi_temp_path scgi;
	uwsgi_temp_path uwsgi;
	keepalive_timeout 1s;
	server {
		listen %s;
		return 200 "hello\n";
	}
}
`

// httpRequest asks for nothing in particular and keeps the connection.
const httpRequest = "GET / HTTP/1.1\r\nHost: server\r\n\r\n"

// keepaliveTimeout has a real nginx close an idle connection.
func keepaliveTimeout(r *run) {
	r.tell("the server runs nginx with keepalive_timeout 1s")
	var web *Nginx
	r.try(func() (err error) { web, err = r.lab.StartNginx(r.ctx, r.server, r.accepting()); return })
	if r.err != nil {
		return
	}
	defer func() { r.err = errors.Join(r.err, web.Stop()) }()
	r.connect()
	r.try(func() error { return r.clientPeer.Outcome(r.ctx, conn) })
	r.tell("the client asks: GET /")
	r.try(func() error { return r.clientPeer.SendText(r.ctx, conn, httpRequest) })
	r.receive(r.clientPeer, 1)
	r.stand()
	r.close(r.clientPeer)
	r.end()
}

// Nginx is a real web server on a host (Debian's nginx-light). It answers "hello"
// to everything, and closes a connection that has been idle for a second.
type Nginx struct {
	cmd    *exec.Cmd
	exited chan error
	dir    string
	stderr bytes.Buffer
}

// StartNginx starts one, and returns when it listens on the address.
func (l *Lab) StartNginx(ctx context.Context, h *Host, at netip.AddrPort) (*Nginx, error) {
	dir, err := l.tempDir()
	if err != nil {
		return nil, err
	}
	conf := fmt.Sprintf(nginxConf, at)
	if err := os.WriteFile(filepath.Join(dir, "nginx.conf"), []byte(conf), 0o644); err != nil {
		return nil, fmt.Errorf("configure nginx: %w", err)
	}
	n := &Nginx{cmd: exec.Command("nginx", "-p", dir, "-c", "nginx.conf"), exited: make(chan error, 1), dir: dir}
	n.cmd.Stderr = &n.stderr
	if err := h.ns.within(n.cmd.Start); err != nil {
		return nil, fmt.Errorf("start nginx (Debian's nginx-light): %w", err)
	}
	go func() { n.exited <- n.cmd.Wait() }()
	if err := awaitKernel(ctx, "nginx to listen", func() (bool, error) { return n.listens(h, at) }); err != nil {
		return nil, errors.Join(err, n.Stop())
	}
	return n, nil
}

func (n *Nginx) listens(h *Host, at netip.AddrPort) (bool, error) {
	select {
	case err := <-n.exited:
		n.exited <- err
		return false, fmt.Errorf("nginx ended: %w: %s", err, bytes.TrimSpace(n.stderr.Bytes()))
	default:
		return h.listens(at)
	}
}

// Stop ends the server and removes what it has written.
func (n *Nginx) Stop() error {
	err := n.cmd.Process.Signal(unix.SIGTERM)
	if errors.Is(err, os.ErrProcessDone) {
		err = nil
	}
	if wait := <-n.exited; wait != nil {
		err = errors.Join(err, fmt.Errorf("end nginx: %w", wait))
	}
	return errors.Join(err, os.RemoveAll(n.dir))
}

// Browse has a real client on a host (curl) fetch pages from a web server, all on one
// connection or each on one of its own, and returns when it has.
func Browse(ctx context.Context, h *Host, at netip.AddrPort, pages int, apart bool) error {
	url := "http://" + at.String() + "/"
	args := []string{"-sSg"} // -g: brackets hold an address, no range
	if apart {
		args = append(args, "-H", "Connection: close")
	}
	for range pages {
		args = append(args, "-o", "/dev/null", url)
	}
	out, err := h.Command(ctx, "curl", args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("fetch %s: %w: %s", url, err, bytes.TrimSpace(out))
	}
	return nil
}

// listens reports whether somebody on the host listens on an address.
func (h *Host) listens(at netip.AddrPort) (bool, error) {
	f := IPv4
	if at.Addr().Is6() {
		f = IPv6
	}
	socks, err := h.Sockets(f)
	for _, s := range socks {
		if s.State == tcp.Listen && s.Flow.Local == at {
			return true, nil
		}
	}
	return false, err
}
