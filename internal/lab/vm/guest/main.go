// Command guest is the only user space of a virtual machine: as process 1 it
// mounts what a tracer needs, does the job in its initramfs, reports over the
// serial port and ends the machine.
package main

import (
	"encoding/json"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"tcpstory/internal/lab/vm/script"
)

func main() {
	if os.Getpid() != 1 {
		fmt.Fprintln(os.Stderr, "guest: this is the /init of a virtual machine; see internal/lab/vm")
		os.Exit(2)
	}
	defer reset()
	mounted := mountAll() // before the port: its device is in devtmpfs
	out, err := openPort(script.Port)
	if err != nil {
		fmt.Println("guest:", err) // the kernel's console
		return
	}
	defer out.drain()
	out.send(script.Message{Started: true})
	out.problem(mounted)
	out.problem(linkUp("lo"))
	status := do(out)
	out.send(script.Message{Exit: &status})
}

// do reads the job and does it; 126 is the status of a program that could not
// be started, as in a shell.
func do(out *port) int {
	job, err := readJob(script.Path)
	if err != nil {
		out.problem(err)
		return 126
	}
	for _, m := range job.Modules {
		out.problem(insert(m))
	}
	p, err := start(job, out)
	if err != nil {
		out.problem(err)
		return 126
	}
	out.problem(p.follow(job.Steps))
	return p.wait()
}

func readJob(path string) (job script.Job, err error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return job, fmt.Errorf("read the job: %w", err)
	}
	if err := json.Unmarshal(b, &job); err != nil {
		return job, fmt.Errorf("read the job %s: %w", path, err)
	}
	return job, nil
}

// reset ends the machine: the host runs it without reboot.
func reset() {
	unix.Sync()
	if err := unix.Reboot(unix.LINUX_REBOOT_CMD_RESTART); err != nil {
		fmt.Println("guest: reboot:", err)
	}
	select {} // process 1 must not return
}
