package lab

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// Steer turns receive packet steering on, over all CPUs, on every device of the
// hosts; nil hosts are skipped.
func Steer(ctx context.Context, hosts ...*Host) error {
	for _, h := range hosts {
		if h == nil {
			continue
		}
		// sysfs shows the devices of the namespace it was mounted from: the
		// helper mounts one of its own, which goes when the helper goes.
		attr := &unix.SysProcAttr{Unshareflags: unix.CLONE_NEWNS}
		if _, err := h.runRole(ctx, "rps", "tcplab-rps", nil, attr); err != nil {
			return fmt.Errorf("steer received packets on the %s: %w", h.name, err)
		}
	}
	return nil
}

// serveSteering is the helper process that Steer starts.
func serveSteering(io.Reader, io.Writer) error {
	if err := unix.Mount("sysfs", "/sys", "sysfs", 0, ""); err != nil {
		return fmt.Errorf("mount sysfs: %w", err)
	}
	mask, err := allCPUs()
	if err != nil {
		return err
	}
	queues, err := filepath.Glob("/sys/class/net/*/queues/rx-*/rps_cpus")
	if err != nil || len(queues) == 0 {
		return fmt.Errorf("no device here can steer (CONFIG_RPS): %v", err)
	}
	for _, q := range queues {
		if err := os.WriteFile(q, []byte(mask), 0); err != nil {
			return fmt.Errorf("steer: %w", err)
		}
	}
	return nil
}

// allCPUs is the mask of the online CPUs as rps_cpus takes it: 32 bits a group,
// hexadecimal, the highest group first.
func allCPUs() (string, error) {
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &set); err != nil {
		return "", fmt.Errorf("ask for the CPUs: %w", err)
	}
	var groups []string
	for g := 31; g >= 0; g-- {
		var bits uint32
		for i := range 32 {
			if set.IsSet(g*32 + i) {
				bits |= 1 << i
			}
		}
		if bits != 0 || len(groups) > 0 {
			groups = append(groups, fmt.Sprintf("%08x", bits))
		}
	}
	return strings.Join(groups, ","), nil
}
