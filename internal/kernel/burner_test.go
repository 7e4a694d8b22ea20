package kernel_test

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"tcpstory/internal/lab"
)

// Variables that turn a copy of this test program into a helper.
const (
	burnVar  = "TCPSTORY_TEST_BURN"  // keep a CPU busy until standard input ends
	steerVar = "TCPSTORY_TEST_STEER" // steer received packets over all CPUs
)

func TestMain(m *testing.M) {
	switch {
	case os.Getenv(burnVar) != "":
		burn()
	case os.Getenv(steerVar) != "":
		if err := steer(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	flag.Parse()
	// Scenarios wait for the kernel's timers most of the time.
	if err := flag.Set("test.parallel", "6"); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

// burn keeps one CPU busy as long as the parent holds the pipe.
func burn() {
	go func() {
		for {
			burnt++
		}
	}()
	os.Stdin.Read(make([]byte, 1))
	os.Exit(0)
}

var burnt uint64

// burnAll keeps every CPU busy until the test ends, so that packets are worked
// on in interrupts on top of somebody, or by ksoftirqd.
func burnAll(t *testing.T) {
	t.Helper()
	for cpu := range runtime.NumCPU() {
		cmd := exec.Command(self(t))
		cmd.Env = append(os.Environ(), burnVar+"=1")
		in, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { in.Close(); cmd.Wait() })
		pin(t, cmd.Process.Pid, cpu)
	}
}

// nice of the burners: they take what is left, and most of it is left.
const nice = 10

// pin binds every thread of a process to a CPU.
func pin(t *testing.T, pid, cpu int) {
	t.Helper()
	var set unix.CPUSet
	set.Set(cpu)
	if err := unix.SchedSetaffinity(pid, &set); err != nil {
		t.Fatal(err)
	}
	if err := unix.Setpriority(unix.PRIO_PROCESS, pid, nice); err != nil {
		t.Fatal(err)
	}
}

// steerAll turns receive packet steering on for every device of the hosts.
func steerAll(t *testing.T, hosts ...*lab.Host) {
	t.Helper()
	for _, h := range hosts {
		cmd := h.Command(t.Context(), self(t))
		cmd.Env = append(os.Environ(), steerVar+"=1")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("steer on the %s: %v: %s", h.Name(), err, out)
		}
	}
}

func self(t *testing.T) string {
	t.Helper()
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// steer runs in the host's network namespace. sysfs shows the devices of the
// namespace it was mounted from, so this process mounts one of its own.
func steer() error {
	runtime.LockOSThread()
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		return err
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return err
	}
	if err := unix.Mount("sysfs", "/sys", "sysfs", 0, ""); err != nil {
		return err
	}
	queues, err := filepath.Glob("/sys/class/net/*/queues/rx-*/rps_cpus")
	if err != nil || len(queues) == 0 {
		return fmt.Errorf("no device can steer: %v", err)
	}
	mask := fmt.Sprintf("%x", 1<<runtime.NumCPU()-1)
	for _, q := range queues {
		if err := os.WriteFile(q, []byte(mask), 0); err != nil {
			return err
		}
		have, err := os.ReadFile(q)
		if err != nil || strings.Trim(string(have), "0\n,") == "" {
			return fmt.Errorf("%s is %q: %v", q, have, err)
		}
	}
	return nil
}
