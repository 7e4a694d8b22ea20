package vm

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"tcpstory/internal/lab/vm/script"
)

const (
	emulator        = "qemu-system-x86_64"
	emulatorPackage = "qemu-system-x86"
)

// kernelArgs make a panic or an oops end the machine (QEMU runs it without
// reboot), and keep the log short: the serial line is slow.
const kernelArgs = "console=ttyS0 loglevel=5 panic=-1 oops=panic nokaslr mitigations=off tsc=reliable"

// machine is one emulated PC.
type machine struct {
	image, initrd string
	log           string // file for the kernel's log
	memory, cpus  int
}

// args are QEMU's: serial port 0 is the kernel's log, 1 the guest's messages.
func (m machine) args() []string {
	return []string{
		"-accel", "tcg", "-cpu", "max", "-M", "pc",
		"-m", strconv.Itoa(orDefault(m.memory, 512)), "-smp", strconv.Itoa(orDefault(m.cpus, 1)),
		"-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
		"-serial", "file:" + m.log, "-serial", "stdio",
		"-kernel", m.image, "-initrd", m.initrd, "-append", kernelArgs,
	}
}

func orDefault(n, otherwise int) int {
	if n == 0 {
		return otherwise
	}
	return n
}

// boot runs m to its end, or until ctx ends, and gathers what the guest says.
func boot(ctx context.Context, m machine, live io.Writer) (Result, error) {
	res := Result{Status: -1}
	// The kernel kills QEMU when the thread that started it ends: keep that
	// thread as long as QEMU.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var complaint strings.Builder
	cmd := exec.CommandContext(ctx, emulator, m.args()...)
	cmd.Stderr = &complaint
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return res, fmt.Errorf("start %s: %w", emulator, err)
	}
	begin := time.Now()
	if err := cmd.Start(); err != nil {
		return res, fmt.Errorf("start %s (Debian package %s): %w", emulator, emulatorPackage, err)
	}
	h := hearing{res: &res, live: live, begin: begin}
	h.listen(out)
	err = cmd.Wait()
	res.Total = time.Since(begin)
	log, _ := os.ReadFile(m.log) // none if QEMU ended before it made one
	res.KernelLog = string(log)
	if err != nil && ctx.Err() == nil {
		return res, fmt.Errorf("%s: %w: %s", emulator, err, strings.TrimSpace(complaint.String()))
	}
	return res, verdict(ctx, &res, h.problems)
}

// hearing puts the guest's messages together.
type hearing struct {
	res      *Result
	live     io.Writer
	begin    time.Time
	problems []string
}

// listen reads messages until the guest's line ends. What is not a whole
// message was cut off by the machine's end.
func (h *hearing) listen(r io.Reader) {
	lines := bufio.NewReader(r)
	for {
		line, err := lines.ReadBytes('\n')
		var m script.Message
		if json.Unmarshal(line, &m) == nil {
			h.take(m)
		}
		if err != nil {
			return
		}
	}
}

func (h *hearing) take(m script.Message) {
	switch {
	case m.Started:
		h.res.Boot = time.Since(h.begin)
	case m.Exit != nil:
		h.res.Status = *m.Exit
	case m.Problem != "":
		h.problems = append(h.problems, m.Problem)
	}
	h.res.Stdout = append(h.res.Stdout, m.Stdout...)
	h.res.Stderr = append(h.res.Stderr, m.Stderr...)
	if h.live != nil {
		_, _ = h.live.Write(m.Stdout) // a courtesy: the Result has it all
		_, _ = h.live.Write(m.Stderr)
	}
}
