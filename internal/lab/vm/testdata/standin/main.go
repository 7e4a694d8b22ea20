// Command standin misbehaves on request, for the tests of the harness.
package main

import (
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

func main() {
	acts := map[string]func([]string){
		"echo": echo, "panic": crash, "hang": hang, "exit": exit, "kill": kill, "serve": serve,
	}
	acts[os.Args[1]](os.Args[2:])
}

// echo writes its first argument to stdout and an environment variable and the
// content of a file to stderr.
func echo(args []string) {
	var u unix.Utsname
	_ = unix.Uname(&u)
	fmt.Println(unix.ByteSliceToString(u.Release[:]), args[0])
	text, err := os.ReadFile(args[1])
	fmt.Fprintf(os.Stderr, "%s %s %v\n", os.Getenv("STANDIN"), text, err)
}

// crash makes the kernel panic.
func crash([]string) {
	fmt.Println("last words")
	time.Sleep(100 * time.Millisecond) // for the words to leave the machine
	if err := os.WriteFile("/proc/sysrq-trigger", []byte("c"), 0); err != nil {
		fmt.Println(err)
	}
}

// hang never ends, even when it is interrupted.
func hang([]string) {
	c := make(chan os.Signal, 1)
	signal.Notify(c, os.Interrupt)
	fmt.Fprintln(os.Stderr, "ready")
	for range c {
		fmt.Fprintln(os.Stderr, "interrupted")
	}
}

func exit(args []string) {
	n, _ := strconv.Atoi(args[0])
	os.Exit(n)
}

func kill([]string) {
	_ = unix.Kill(unix.Getpid(), unix.SIGKILL)
	time.Sleep(time.Hour)
}

// serve says that it is ready, waits for SIGINT and says goodbye.
func serve([]string) {
	c := make(chan os.Signal, 1)
	signal.Notify(c, os.Interrupt)
	fmt.Fprintln(os.Stderr, "ready")
	<-c
	b, _ := os.ReadFile("/proc/net/snmp")
	fmt.Printf("%s\n", b)
	b, _ = os.ReadFile("/proc/modules")
	fmt.Printf("%s\n", b)
}
