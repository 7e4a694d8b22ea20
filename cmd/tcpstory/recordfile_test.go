package main

import (
	"bufio"
	"bytes"
	"cmp"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"tcpstory/internal/lab"
	"tcpstory/internal/record"
	"tcpstory/internal/tcp"
)

// awaitSize waits until a file has more than so many bytes.
func awaitSize(t *testing.T, path string, size int64) {
	t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		if info, err := os.Stat(path); err == nil && info.Size() > size {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s is not longer than %d bytes within %v", path, size, patience)
		}
	}
}

// TestRecordKilled: what a killed recording leaves reads to its last event.
func TestRecordKilled(t *testing.T) {
	r := routes(newLab(t, lab.Options{}), 7320)[0]
	path := filepath.Join(t.TempDir(), "story.pcapng")
	p := recordOf(t, r.client, path, append([]string{"--print", "-i", r.device}, r.port()...)...)
	stop := traffic(r)
	awaitSize(t, path, 200_000)
	if err := p.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	p.wait()
	stop()
	live, back := p.out.text(), readAnyway(t, path)
	n := min(len(live), len(back)) - 1 // either may have been cut within a line
	if n < 200 || !slices.Equal(live[:n], back[:n]) {
		t.Errorf("%d lines were printed, %d are read back", len(live), len(back))
	}
}

// readAnyway reads a recording that may be cut off, which is told then.
func readAnyway(t *testing.T, path string, args ...string) []string {
	t.Helper()
	p := start(t, tcpstory(here{}, append([]string{"-r", path}, args...)...))
	p.gathered.Wait()
	if said := strings.Join(p.err.text(), "\n"); said != "" {
		if !strings.Contains(said, "the file is cut off") {
			t.Errorf("reading says: %s", said)
		}
		p.ends(1)
	} else {
		p.ends(0)
	}
	return p.out.text()
}

// TestRecordDiskFull: a full disk ends the recording, says so, and leaves a file
// of whole blocks.
func TestRecordDiskFull(t *testing.T) {
	r := routes(newLab(t, lab.Options{}), 7321)[0]
	dir := t.TempDir()
	if err := unix.Mount("tcpstory-test", dir, "tmpfs", 0, "size=256k"); err != nil {
		t.Fatal(err)
	}
	defer unix.Unmount(dir, unix.MNT_DETACH)
	path := filepath.Join(dir, "story.pcapng")
	names := ourPrograms(t)
	p := recordOf(t, r.client, path, append([]string{"-i", r.device}, r.port()...)...)
	stop := traffic(r)
	p.ends(1)
	stop()
	lines := p.err.text()
	if want := "tcpstory: write recording " + path + ": no space left on device"; lines[len(lines)-1] != want {
		t.Errorf("the last line is %q, want %q", lines[len(lines)-1], want)
	}
	if back := readBack(t, path); len(back) < 500 {
		t.Errorf("%d lines are read back", len(back))
	}
	judgeRuns(t, "capinfos", path)
	nothingAttached(t, names)
}

// TestRecordRotation: -C, -G and -W name and bound the files as tcpdump does, and
// each of them stands alone.
func TestRecordRotation(t *testing.T) {
	r := routes(newLab(t, lab.Options{}), 7322)[0]
	old := r.listen(t)
	defer old.Close()
	for _, c := range []struct {
		args  []string
		names string
		files int
	}{
		{[]string{"-C", "40k"}, `^f(\d+)?$`, 4},
		{[]string{"-C", "40k", "-W", "3"}, `^f[012]$`, 3},
		{[]string{"-C", "40k", "-W", "12"}, `^f\d\d$`, 4},
		{[]string{"-G", "1", "-W", "2"}, `^f-\d{8}-\d{6}$`, 2},
	} {
		dir := t.TempDir()
		path := filepath.Join(dir, "f")
		if c.args[0] == "-G" {
			path += "-%Y%m%d-%H%M%S"
		}
		p := recordOf(t, r.client, path, slices.Concat(c.args, []string{"-i", r.device}, r.port())...)
		k := r.connect(t, old)
		stop := make(chan bool)
		done := make(chan bool)
		go func() { // accepted, and closed, so that there is something to record
			defer close(done)
			for {
				select {
				case <-stop:
					return
				default:
					k.sends(k.client, k.server, text(1000))
				}
			}
		}()
		if c.args[0] == "-G" {
			p.ends(0)
		} else {
			awaitFiles(t, dir, c.files)
			p.interrupt()
		}
		close(stop)
		<-done
		files, _ := filepath.Glob(filepath.Join(dir, "*"))
		if len(files) < c.files || len(c.args) > 2 && c.args[3] != "12" && len(files) != c.files {
			t.Errorf("%v: %d files: %v", c.args, len(files), files)
		}
		for _, f := range files {
			if !regexp.MustCompile(c.names).MatchString(filepath.Base(f)) {
				t.Errorf("%v: %s", c.args, f)
			}
			judgeRuns(t, "capinfos", f)
			if c.args[0] == "-C" {
				if info, _ := os.Stat(f); info.Size() > 40<<10+20000 {
					t.Errorf("%s has %d bytes", f, info.Size())
				}
			}
		}
		standsAlone(t, files[len(files)-1], `"owner_comm":"tcpstory.test"`)
		k.client.Close()
		k.server.Close()
	}
}

// TestRotationCarriesOver: file after file shows what the live view showed, to the
// byte, though most connections, half-open ones too, go on from one to the next.
func TestRotationCarriesOver(t *testing.T) {
	l := newLab(t, lab.Options{})
	path := filepath.Join(t.TempDir(), "f")
	var scope []string
	for _, h := range l.Hosts() {
		scope = append(scope, "--netns", h.NetnsName())
	}
	p := recordOf(t, here{}, path, slices.Concat([]string{"-C", "4k", "--print", "--json"}, scope, []string{"tcp"})...)
	for i, name := range []string{"close-client-first", "syn-recv", "fin-wait2", "abort"} {
		s, err := lab.Find(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Run(t.Context(), l, lab.Families[i%len(lab.Families)]); err != nil {
			t.Fatal(err)
		}
	}
	p.interrupt()
	shown := func(lines []string) []string {
		return slices.DeleteFunc(slices.Clone(lines), isAside)
	}
	files, _ := filepath.Glob(path + "*")
	slices.SortFunc(files, func(a, b string) int { return cmp.Or(len(a)-len(b), strings.Compare(a, b)) })
	var back []string
	for _, f := range files {
		back = append(back, shown(readBack(t, f, "--json"))...)
	}
	if d := gocmp.Diff(shown(p.out.text()), back); d != "" || len(files) < 4 {
		t.Errorf("live (-) and in %d files (+):\n%s", len(files), d)
	}
}

// standsAlone: a file that began while the connection was open knows whose it is.
func standsAlone(t *testing.T, path, owner string) {
	t.Helper()
	lines := readBack(t, path, "--json")
	packets := slices.DeleteFunc(lines, func(l string) bool { return !strings.Contains(l, `"kind":"packet"`) })
	if len(packets) == 0 || count(packets, owner) != len(packets) {
		t.Errorf("%s: %d packets, %d with their owner\n%s", path, len(packets), count(packets, owner), strings.Join(packets[:min(2, len(packets))], "\n"))
	}
}

func awaitFiles(t *testing.T, dir string, n int) {
	t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		if files, _ := filepath.Glob(filepath.Join(dir, "*")); len(files) >= n {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("no %d files within %v", n, patience)
		}
	}
}

// TestRecordStreams: a recording on standard output shows in tshark at once, and
// in tcpstory, and ends with its reader.
func TestRecordStreams(t *testing.T) {
	r := routes(newLab(t, lab.Options{}), 7323)[0]
	for _, reader := range []struct {
		command []string
		line    string
	}{
		{[]string{"tshark", "-l", "-r", "-"}, `systemd Journal \d+ TCP .*State SYN_SENT -> ESTABLISHED`},
		{[]string{"tcpstory", "-r", "-"}, `: State SYN_SENT -> ESTABLISHED`},
	} {
		out, in, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		recorder := tcpstory(r.client, "record", "-w", "-", "port", "7323")
		recorder.Stdout = in
		p := start(t, recorder)
		in.Close()
		cmd := exec.Command(reader.command[0], reader.command[1:]...)
		cmd.Stdin = out
		cmd.Env = plainEnv()
		shown := start(t, cmd)
		out.Close()
		p.awaitsIn(p.err, listens)
		r.converse(t, 10, 10)
		shown.awaits(reader.line)
		shown.awaits(`LAST_ACK -> CLOSE`)
		shown.cmd.Process.Kill()
		shown.wait()
		stop := traffic(r) // it notices when it writes
		p.ends(0)
		stop()
	}
}

// TestReadDamaged: what is damaged is told, with its place, behind all that could
// be read.
func TestReadDamaged(t *testing.T) {
	path := recordScenario(t, "refused")
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	whole := readBack(t, path)
	bad := filepath.Join(t.TempDir(), "bad")
	at := len(file) / 2
	for says, content := range map[string][]byte{
		`(?m)^tcpstory: read recording .*: \d+ bytes from offset \d+ on are damaged, and were passed over$`:                  slices.Concat(file[:at], []byte("noise"), file[at:]),
		`(?m)^tcpstory: read recording .*: the file is cut off: its last \d+ bytes, from offset \d+ on, are no whole block$`: file[:len(file)-2],
	} {
		if err := os.WriteFile(bad, content, 0o600); err != nil {
			t.Fatal(err)
		}
		p := start(t, tcpstory(here{}, "-r", bad))
		p.ends(1)
		if lines := p.out.text(); len(lines) < len(whole)-2 {
			t.Errorf("%d of %d lines are read", len(lines), len(whole))
		}
		if said := strings.Join(p.err.text(), "\n"); !regexp.MustCompile(says).MatchString(said) {
			t.Errorf("want %s\nhave %s", says, said)
		}
	}
}

// endless is a recording of n bytes and a little more: connections that come and
// go.
type endless struct {
	w    *record.Writer
	buf  bytes.Buffer
	n    int64
	next uint64
}

// Read implements io.Reader.
func (e *endless) Read(b []byte) (int, error) {
	for e.buf.Len() == 0 {
		if e.n <= 0 {
			return 0, io.EOF
		}
		e.connection()
	}
	n, _ := e.buf.Read(b)
	e.n -= int64(n)
	return n, nil
}

// connection writes one: opened, some packets, closed.
func (e *endless) connection() {
	e.next++
	f := tcp.Flow{
		Local:  netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, byte(e.next >> 16), byte(e.next >> 8), byte(e.next)}), 40000),
		Remote: netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 1, 1, 1}), 80),
	}
	ev := tcp.Event{Kind: tcp.KindState, Cookie: e.next, Netns: 1, Flow: f}
	ev.ActsBy(tcp.Task{PID: 1, Comm: [16]byte{'x'}})
	path := []tcp.State{tcp.Close, tcp.SynSent, tcp.Established, tcp.FinWait1, tcp.Close}
	for i, to := range path[1:] {
		ev.Seq++
		ev.Time = int64(e.next)*1e6 + int64(i)
		ev.Old, ev.New = path[i], to
		_ = e.w.Write(&ev, &record.Note{Flow: f, Line: []byte("a line as long as they are, in which a state is left for another")})
	}
	packet := ev
	packet.Kind = tcp.KindPacket
	packet.Packet = tcp.Packet{Frame: vlanFrame(), Link: tcp.LinkEthernet, Device: "eth0", Ifindex: 2, Dir: tcp.DirOut, Asked: true}
	packet.Packet.Length = uint32(len(packet.Packet.Frame))
	packet.Decode()
	for range 20 {
		_ = e.w.Write(&packet, &record.Note{Flow: f, Outgoing: true})
	}
	_ = e.w.Flush()
}

// TestReadsInConstantMemory: however long a recording is, reading it takes no more
// memory.
func TestReadsInConstantMemory(t *testing.T) {
	sizes := []int64{20 << 20, 200 << 20}
	if os.Getenv("TCPSTORY_LONG") != "" {
		sizes[1] = 10 << 30
	}
	var peaks []int64
	for _, n := range sizes {
		e := &endless{n: n}
		e.w = record.NewWriter(&e.buf, record.About{Link: tcp.LinkEthernet}, record.RowsJournal)
		cmd := exec.Command("tcpstory", "-r", "-", "tcp[tcpflags] & tcp-rst != 0")
		cmd.Env = append(plainEnv(), "GOMEMLIMIT=off")
		cmd.Stdin = bufio.NewReaderSize(e, 1<<20)
		begun := time.Now()
		if err := cmd.Run(); err != nil {
			t.Fatal(err)
		}
		peaks = append(peaks, cmd.ProcessState.SysUsage().(*syscall.Rusage).Maxrss)
		t.Logf("%d MiB in %v, %d KiB resident at most", n>>20, time.Since(begun).Round(time.Millisecond), peaks[len(peaks)-1])
	}
	if peaks[1] > peaks[0]+16<<10 {
		t.Errorf("%d KiB for the short recording, %d KiB for the long one", peaks[0], peaks[1])
	}
}
