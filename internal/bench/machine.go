package bench

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
)

// Machine is where it was measured.
type Machine struct {
	Kernel   string   `json:"kernel"`
	CPU      string   `json:"cpu"` // model; "" unknown
	Cores    int      `json:"cores"`
	LoadAvg  string   `json:"loadavg"`  // before the first run: 1, 5, 15 minutes
	Versions []string `json:"versions"` // Debian packages of the tools
}

func thisMachine() Machine {
	m := Machine{CPU: cpuModel(), Cores: runtime.NumCPU(), LoadAvg: loadAverage(), Versions: packageVersions()}
	var u unix.Utsname
	if unix.Uname(&u) == nil {
		m.Kernel = unix.ByteSliceToString(u.Release[:])
	}
	return m
}

// String is the machine in two lines.
func (m Machine) String() string {
	cpu := m.CPU
	if cpu == "" {
		cpu = "CPU ?"
	}
	return fmt.Sprintf("kernel %s, %s, %d cores, load average before: %s\n%s",
		m.Kernel, cpu, m.Cores, m.LoadAvg, strings.Join(m.Versions, ", "))
}

func cpuModel() string {
	b, _ := os.ReadFile("/proc/cpuinfo")
	_, after, _ := bytes.Cut(b, []byte("model name"))
	line, _, _ := bytes.Cut(after, []byte("\n"))
	return strings.TrimLeft(string(line), " \t:")
}

func loadAverage() string {
	b, _ := os.ReadFile("/proc/loadavg")
	words := strings.Fields(string(b))
	return strings.Join(words[:min(3, len(words))], " ")
}

// packageVersions asks dpkg; elsewhere than on Debian there is no answer.
func packageVersions() []string {
	out, _ := exec.Command("dpkg-query", "-W", "-f", "${Package} ${Version}\n", "libbpf-tools", "tcpdump").Output()
	return strings.FieldsFunc(string(out), func(r rune) bool { return r == '\n' })
}
