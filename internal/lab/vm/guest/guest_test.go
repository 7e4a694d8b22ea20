package main

import (
	"os"
	"strings"
	"testing"

	"tcpstory/internal/lab/vm/script"
)

func TestTalk(t *testing.T) {
	for _, address := range []string{"127.0.0.1:0", "[::1]:0"} {
		if err := talk(address); err != nil {
			t.Errorf("%s: %v", address, err)
		}
	}
}

func TestExpect(t *testing.T) {
	if err := expect(strings.NewReader("pang"), "ping"); err == nil {
		t.Error("another text passed")
	}
	if err := expectEnd(strings.NewReader("x")); err == nil {
		t.Error("more data passed for the end")
	}
	if err := expectEnd(strings.NewReader("")); err != nil {
		t.Error(err)
	}
}

// A text may come in pieces, before or after somebody waits for it.
func TestWatched(t *testing.T) {
	var passed strings.Builder
	w := newWatched(func(b []byte) { passed.Write(b) })
	hit := w.seen([]byte("ready\n"))
	for _, piece := range []string{"re", "ad", "y"} {
		if _, err := w.Write([]byte(piece)); err != nil {
			t.Fatal(err)
		}
		select {
		case <-hit:
			t.Fatalf("hit after %q", passed.String())
		default:
		}
	}
	if _, err := w.Write([]byte("\nmore")); err != nil {
		t.Fatal(err)
	}
	<-hit
	<-w.seen([]byte("more"))
	if passed.String() != "ready\nmore" {
		t.Errorf("passed on %q", passed.String())
	}
}

func TestMountAllNamesWhatFailed(t *testing.T) {
	old := mounts
	defer func() { mounts = old }()
	mounts = []struct{ kind, at string }{{"nosuchfs", t.TempDir()}}
	if err := mountAll(); err == nil || !strings.Contains(err.Error(), "nosuchfs") {
		t.Errorf("error %v", err)
	}
}

func TestReadJob(t *testing.T) {
	name := t.TempDir() + "/job"
	if err := os.WriteFile(name, []byte(`{"Args":["/bin/x","y"],"Steps":[{"Do":"talk","With":"a"}]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	job, err := readJob(name)
	if err != nil || len(job.Args) != 2 || job.Steps[0] != (script.Step{Do: script.Talk, With: "a"}) {
		t.Errorf("got %+v, %v", job, err)
	}
	if _, err := readJob(name + "-gone"); err == nil {
		t.Error("no error for a job that is not there")
	}
}
