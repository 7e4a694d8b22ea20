package main

import (
	"bytes"
	"fmt"
	"os"
)

// sshConnection is what sshd(8) tells a session about itself.
const sshConnection = "SSH_CONNECTION"

// inherited looks a variable up here, then in the environments of our parents:
// sudo takes SSH_CONNECTION away, and the shell that called it still has it.
func inherited(getenv func(string) string, proc string) func(string) string {
	return func(name string) string {
		if v := getenv(name); v != "" {
			return v
		}
		for pid := parent(proc, "self"); pid > 1; pid = parent(proc, fmt.Sprint(pid)) {
			if v := variable(proc, pid, name); v != "" {
				return v
			}
		}
		return ""
	}
}

// parent is the parent of a process (proc_pid_stat(5)); 0: none, or not to be known.
func parent(proc, pid string) (ppid int) {
	stat, err := os.ReadFile(proc + "/" + pid + "/stat")
	if err != nil {
		return 0
	}
	behindName := stat[bytes.LastIndexByte(stat, ')')+1:] // a name may hold anything
	var state string
	if _, err := fmt.Sscan(string(behindName), &state, &ppid); err != nil {
		return 0
	}
	return ppid
}

// variable reads a process's environment; "" where it may not be read.
func variable(proc string, pid int, name string) string {
	environ, err := os.ReadFile(fmt.Sprintf("%s/%d/environ", proc, pid))
	if err != nil {
		return ""
	}
	for pair := range bytes.SplitSeq(environ, []byte{0}) {
		if value, ok := bytes.CutPrefix(pair, []byte(name+"=")); ok {
			return string(value)
		}
	}
	return ""
}
