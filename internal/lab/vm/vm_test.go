package vm

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// oldest returns the oldest kernel; every test of the harness itself boots it.
func oldest(t *testing.T) Kernel { return kernel(t, Oldest) }

func kernel(t *testing.T, w Want) Kernel {
	t.Helper()
	if testing.Short() {
		t.Skip("boots a virtual machine")
	}
	dir, err := CacheDir()
	if err != nil {
		t.Fatal(err)
	}
	ks, err := Kernels(t.Context(), dir, w)
	if err != nil {
		t.Fatal(err)
	}
	if ks[0].Stale != nil {
		t.Logf("an old copy of %s: %v", w.Name, ks[0].Stale)
	}
	return ks[0]
}

// built builds a program of testdata.
func built(t *testing.T, name string) string {
	t.Helper()
	out := filepath.Join(t.TempDir(), name)
	if err := pureGo.run("build", "-o", out, "./testdata/"+name); err != nil {
		t.Fatal(err)
	}
	return out
}

func TestRun(t *testing.T) {
	t.Parallel()
	k, bin := oldest(t), built(t, "standin")
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, []byte("from the host"), 0o600); err != nil {
		t.Fatal(err)
	}
	var live strings.Builder
	res, err := Run(t.Context(), k, Job{
		Binary: bin, Args: []string{"echo", "two words", "/etc/given"}, Env: []string{"STANDIN=set"},
		Files: map[string]string{"/etc/given": file}, Output: &live,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%s: process 1 after %v, all in %v", k.Release, res.Boot, res.Total)
	if want := k.Release + " two words\n"; string(res.Stdout) != want || res.Status != 0 {
		t.Errorf("stdout %q, status %d, want %q, 0", res.Stdout, res.Status, want)
	}
	if want := "set from the host <nil>\n"; string(res.Stderr) != want {
		t.Errorf("stderr %q, want %q", res.Stderr, want)
	}
	if !strings.Contains(live.String(), "two words") || !strings.Contains(live.String(), "from the host") {
		t.Errorf("live output %q lacks a stream", live.String())
	}
}

// A status other than 0 is the program's own affair, not an error of Run.
func TestRunStatus(t *testing.T) {
	t.Parallel()
	k, bin := oldest(t), built(t, "standin")
	for _, c := range []struct {
		args []string
		want int
	}{
		{[]string{"exit", "3"}, 3},
		{[]string{"kill"}, 128 + 9},
	} {
		res, err := Run(t.Context(), k, Job{Binary: bin, Args: c.args})
		if err != nil || res.Status != c.want {
			t.Errorf("%v: status %d, %v, want %d", c.args, res.Status, err, c.want)
		}
	}
}

func TestRunSteps(t *testing.T) {
	t.Parallel()
	k, bin := oldest(t), built(t, "standin")
	res, err := Run(t.Context(), k, Job{
		Binary: bin, Args: []string{"serve"}, Modules: []string{"tcp_diag"},
		Steps: []Step{AwaitStderr("ready\n"), Talk("127.0.0.1:0"), Talk("[::1]:0"), Interrupt()},
	})
	if err != nil || res.Status != 0 {
		t.Fatalf("status %d, %v", res.Status, err)
	}
	if opens := snmp(t, string(res.Stdout), "ActiveOpens"); opens != "2" {
		t.Errorf("%s connections, want 2", opens)
	}
	for _, m := range []string{"tcp_diag ", "inet_diag "} { // the second because the first depends on it
		if !strings.Contains(string(res.Stdout), "\n"+m) {
			t.Errorf("module %s is not inserted:\n%s", m, res.Stdout)
		}
	}
}

// snmp reads a TCP counter out of /proc/net/snmp.
func snmp(t *testing.T, text, name string) string {
	t.Helper()
	var rows [][]string
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "Tcp:") {
			rows = append(rows, strings.Fields(line))
		}
	}
	if len(rows) != 2 {
		t.Fatalf("no TCP counters in %q", text)
	}
	for i, n := range rows[0] {
		if n == name {
			return rows[1][i]
		}
	}
	t.Fatalf("no counter %s", name)
	return ""
}

func TestRunStepFails(t *testing.T) {
	t.Parallel()
	k, bin := oldest(t), built(t, "standin")
	for _, c := range []struct {
		name, want string
		job        Job
	}{
		{"ends before", `await "ready": the program ended before it wrote that (status 3)`,
			Job{Args: []string{"exit", "3"}, Steps: []Step{AwaitStderr("ready")}}},
		{"bad address", `talk "nowhere"`,
			Job{Args: []string{"serve"}, Steps: []Step{AwaitStderr("ready"), Talk("nowhere"), Interrupt()}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.job.Binary = bin
			res, err := Run(t.Context(), k, c.job)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want it to say %q", err, c.want)
			}
			if res.Status < 0 {
				t.Error("the program's status got lost")
			}
		})
	}
}

func TestRunPanic(t *testing.T) {
	t.Parallel()
	k, bin := oldest(t), built(t, "standin")
	res, err := Run(t.Context(), k, Job{Binary: bin, Args: []string{"panic"}})
	if !errors.Is(err, ErrPanic) || res.Status != -1 {
		t.Errorf("status %d, error %v, want -1, ErrPanic", res.Status, err)
	}
	if !strings.Contains(res.KernelLog, "sysrq") || string(res.Stdout) != "last words\n" {
		t.Errorf("stdout %q, kernel log:\n%s", res.Stdout, res.KernelLog)
	}
}

func TestRunTimeout(t *testing.T) {
	t.Parallel()
	k, bin := oldest(t), built(t, "standin")
	res, err := Run(t.Context(), k, Job{Binary: bin, Args: []string{"hang"}, Timeout: 50 * time.Millisecond})
	if !errors.Is(err, ErrTimeout) || res.Status != -1 {
		t.Errorf("status %d, error %v, want -1, ErrTimeout", res.Status, err)
	}
}

// onceWritten calls do as soon as text has gone through.
type onceWritten struct {
	text string
	do   func()
}

func (o onceWritten) Write(b []byte) (int, error) {
	if strings.Contains(string(b), o.text) {
		o.do()
	}
	return len(b), nil
}

// A program that never ends is stopped, and what it said before is kept.
func TestRunCancelled(t *testing.T) {
	t.Parallel()
	k, bin := oldest(t), built(t, "standin")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	res, err := Run(ctx, k, Job{
		Binary: bin, Args: []string{"hang"}, Output: onceWritten{"interrupted", cancel},
		Steps: []Step{AwaitStderr("ready"), Interrupt()},
	})
	if !errors.Is(err, context.Canceled) || res.Status != -1 {
		t.Errorf("status %d, error %v, want -1, Canceled", res.Status, err)
	}
	if string(res.Stderr) != "ready\ninterrupted\n" {
		t.Errorf("stderr %q: what came before the end got lost", res.Stderr)
	}
}

// Without the emulator the error names the package to install.
func TestBootWithoutEmulator(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	if _, err := boot(t.Context(), machine{}, nil); err == nil || !strings.Contains(err.Error(), "Debian package "+emulatorPackage) {
		t.Errorf("error %v, want it to name the package", err)
	}
}

func TestRunRefuses(t *testing.T) {
	t.Parallel()
	k, bin := oldest(t), built(t, "standin")
	notKernel := k
	notKernel.Image = filepath.Join(t.TempDir(), "vmlinux")
	if err := os.WriteFile(notKernel.Image, []byte("no kernel"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, want string
		kernel     Kernel
		job        Job
	}{
		{"no program", "no such file", k, Job{Binary: bin + "-gone"}},
		{"dynamic program", "dynamically linked", k, Job{Binary: "/bin/true"}},
		{"no such module", "no module nonsense", k, Job{Binary: bin, Modules: []string{"nonsense"}}},
		{"no such file", "no such file", k, Job{Binary: bin, Files: map[string]string{"/x": bin + "-gone"}}},
		{"not a kernel", emulator, notKernel, Job{Binary: bin, Args: []string{"exit", "0"}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if _, err := Run(t.Context(), c.kernel, c.job); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want it to say %q", err, c.want)
			}
		})
	}
}

// Any package's tests can run in a guest.
func TestBuildTest(t *testing.T) {
	t.Parallel()
	k, bin := oldest(t), filepath.Join(t.TempDir(), "guest.test")
	if err := BuildTest(bin, "./guest"); err != nil {
		t.Fatal(err)
	}
	res, err := Run(t.Context(), k, Job{Binary: bin, Args: []string{"-test.v"}})
	if err != nil || res.Status != 0 || !strings.Contains(string(res.Stdout), "--- PASS: TestTalk") {
		t.Errorf("status %d, %v\n%s%s", res.Status, err, res.Stdout, res.Stderr)
	}
}
