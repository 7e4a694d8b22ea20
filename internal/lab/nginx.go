package lab

import (
	"bytes"
	"errors"
	"fmt"
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
	stop := r.startNginx()
	defer stop()
	r.connect()
	r.try(func() error { return r.clientPeer.Outcome(r.ctx, conn) })
	r.tell("the client asks: GET /")
	r.try(func() error { return r.clientPeer.SendText(r.ctx, conn, httpRequest) })
	r.receive(r.clientPeer, 1)
	r.stand()
	r.close(r.clientPeer)
	r.end()
}

// startNginx returns when nginx listens. What it returns ends it.
func (r *run) startNginx() (stop func()) {
	var dir string
	r.try(func() (err error) { dir, err = r.lab.tempDir(); return })
	r.try(func() error {
		conf := fmt.Sprintf(nginxConf, r.accepting())
		return os.WriteFile(filepath.Join(dir, "nginx.conf"), []byte(conf), 0o644)
	})
	var stderr bytes.Buffer
	cmd := exec.Command("nginx", "-p", dir, "-c", "nginx.conf")
	cmd.Stderr = &stderr
	r.try(func() error {
		if err := r.server.ns.within(cmd.Start); err != nil {
			return fmt.Errorf("start nginx (Debian's nginx-light): %w", err)
		}
		return nil
	})
	if r.err != nil {
		return func() {}
	}
	exited := make(chan error, 1)
	go func() { exited <- cmd.Wait() }()
	r.poll("nginx to listen", func() (bool, error) {
		select {
		case err := <-exited:
			exited <- err
			return false, fmt.Errorf("nginx ended: %w: %s", err, bytes.TrimSpace(stderr.Bytes()))
		default:
			return r.listens(r.server)
		}
	})
	return func() { r.stopNginx(cmd, exited, dir) }
}

func (r *run) stopNginx(cmd *exec.Cmd, exited <-chan error, dir string) {
	err := cmd.Process.Signal(unix.SIGTERM)
	if wait := <-exited; wait != nil {
		err = errors.Join(err, fmt.Errorf("end nginx: %w", wait))
	}
	r.err = errors.Join(r.err, err, os.RemoveAll(dir))
}

// listens reports whether somebody on the host listens on the story's port.
func (r *run) listens(h *Host) (bool, error) {
	socks, err := h.Sockets(r.family)
	for _, s := range socks {
		if s.State == tcp.Listen && s.Flow.Local.Port() == r.scenario.Port {
			return true, nil
		}
	}
	return false, err
}
