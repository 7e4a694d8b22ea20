package kernel

import (
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// noNetns is a network namespace that does not exist (inodes of real ones are
// large): programs that are only tried out tell nothing.
const noNetns = 1

// Examine finds out what works on this host by trying it: each program is loaded
// and attached, and everything together is started as a bare tcpstory does. It
// leaves nothing behind, and takes about as long as two starts. Without the
// rights to load programs there is little to try.
func Examine() Report {
	var uts unix.Utsname
	_ = unix.Uname(&uts) // it cannot fail
	r := Report{Release: unix.ByteSliceToString(uts.Release[:])}
	x := examination{lockdown: readLockdown(), rights: hasRights()}
	x.features, x.noBTF = probeFeatures()
	r.Findings = append(r.Findings, x.btf(), x.lockdownFinding())
	r.Findings = append(r.Findings, rightsFindings()...)
	if x.features != nil && x.rights {
		r.Findings = append(r.Findings, x.hooks()...)
		r.Findings = append(r.Findings, x.abilities()...)
	}
	if x.rights {
		r.Findings = append(r.Findings, ringFinding(), statsFinding())
	}
	r.Findings = append(r.Findings, clockFinding())
	r.Start, r.Err = tryOut()
	return r
}

// tryOut starts a trace of everything, and ends it.
func tryOut() (time.Duration, error) {
	began := time.Now()
	s, err := Open(Config{States: true, Packets: true, Netns: []uint32{noNetns}})
	if err != nil {
		return 0, err
	}
	return time.Since(began), s.Close()
}

// examination is what several findings hang on.
type examination struct {
	features *features // nil: see noBTF
	noBTF    error
	lockdown string // see readLockdown
	rights   bool
}

func (x *examination) btf() Finding {
	f := Finding{Group: groupKernel, Name: "BTF", What: "the kernel's own description of its types"}
	if x.noBTF != nil {
		return f.missing("nothing can be traced", x.noBTF.Error(), "a kernel with CONFIG_DEBUG_INFO_BTF=y")
	}
	if st, err := os.Stat("/sys/kernel/btf/vmlinux"); err == nil {
		f.Found = fmt.Sprintf("%.1f MiB", float64(st.Size())/(1<<20))
	}
	return f
}

// mayRefuse reports whether lockdown(7) stands at a level that can explain a
// refusal to root.
func (x *examination) mayRefuse() bool {
	return x.lockdown == "integrity" || x.lockdown == "confidentiality"
}

func (x *examination) lockdownFinding() Finding {
	f := Finding{Group: groupKernel, Name: "lockdown", What: "what the kernel keeps even from root", Found: x.lockdown}
	const boot = "boot with lockdown=none, where the owner of the machine allows it"
	switch x.lockdown {
	case "none", "absent":
	case "integrity":
		return f.missing("programs at a function's exit may be refused: see the hooks", "", boot)
	case "confidentiality":
		return f.missing("programs may not read the kernel's memory: nothing can be traced", "", boot)
	default:
		f.Mark, f.Reason = Unknown, "securityfs is not mounted, and to look without needs CAP_SYS_ADMIN"
	}
	return f
}
