package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/spf13/pflag"

	"tcpstory/internal/host"
	"tcpstory/internal/kernel"
	"tcpstory/internal/render"
)

// doctor says what works on this host, what each lack costs, and the remedy. Its
// error, and exit status 1, is that nothing can be traced.
func doctor(_ context.Context, e *env) error {
	flags := pflag.NewFlagSet("tcpstory doctor", pflag.ContinueOnError)
	flags.Usage = func() {}
	asJSON := flags.Bool("json", false, "one JSON object")
	help := flags.BoolP("help", "h", false, "this text")
	switch err := flags.Parse(e.args); {
	case err != nil:
		return usageError{err}
	case flags.NArg() > 0:
		return usageError{errors.New("doctor takes no arguments but --json")}
	case e.closed:
		return errStdoutClosed
	case *help:
		_, err := fmt.Fprint(e.stdout, doctorUsage)
		return err
	}
	r := kernel.Examine()
	names := host.New()
	r.Findings = append(r.Findings, cgroupFinding(names), namespaceFinding(names))
	show := e.showReport
	if *asJSON {
		show = e.writeReport
	}
	if err := errors.Join(show(&r), names.Close()); err != nil {
		return err
	}
	if r.Err != nil {
		return errors.New("nothing can be traced here")
	}
	return nil
}

const doctorUsage = `usage: tcpstory doctor [--json]
What works on this host, what each lack costs, and the remedy. Each program is
loaded and attached for a moment, and the whole is started once.
The exit status is 1 if nothing can be traced, else 0, whatever else is missing.

  --json              one JSON object
`

func cgroupFinding(names *host.Names) kernel.Finding {
	f := kernel.Finding{Group: kernel.GroupHost, Name: "cgroup2", What: "cgroups' paths, containers"}
	root, err := names.CgroupRoot()
	if err != nil {
		f.Mark, f.Lack, f.Reason = kernel.Lacks, "a socket's cgroup is a number without a path", err.Error()
		f.Remedy = "mount -t cgroup2 none /sys/fs/cgroup/unified"
		return f
	}
	f.Found = root
	return f
}

// namespaceFinding enters every network namespace that is to be found.
func namespaceFinding(names *host.Names) kernel.Finding {
	f := kernel.Finding{Group: kernel.GroupHost, Name: "network namespaces", What: "older connections"}
	found, denied, err := names.Namespaces()
	closed := 0
	for _, ns := range found {
		if refused := ns.Do(func() error { return nil }); refused != nil && !errors.Is(refused, host.ErrGone) {
			closed++
			err = refused
		}
	}
	f.Found = fmt.Sprintf("%d of %d can be entered", len(found)-closed, len(found))
	if denied > 0 {
		f.Mark = kernel.Unknown
		f.Reason = fmt.Sprintf("%d of the processes may not be looked at, and may live in others", denied)
	}
	if err != nil {
		f.Mark, f.Lack = kernel.Lacks, "elsewhere, connections are not known before they do something"
		f.Reason, f.Remedy = err.Error(), "run it with sudo"
	}
	return f
}

// writeReport is --json.
func (e *env) writeReport(r *kernel.Report) error {
	out := struct {
		Release  string           `json:"release"`
		Works    bool             `json:"works"`
		Error    string           `json:"error,omitempty"`
		StartMs  float64          `json:"start_ms,omitempty"`
		Findings []kernel.Finding `json:"findings"`
	}{Release: r.Release, Works: r.Err == nil, StartMs: float64(r.Start.Microseconds()) / 1000, Findings: r.Findings}
	if r.Err != nil {
		out.Error = oneLine(r.Err)
	}
	return json.NewEncoder(e.stdout).Encode(out)
}

// showReport is the table for people, the answer first.
func (e *env) showReport(r *kernel.Report) error {
	text := fmt.Appendf(nil, "Linux %s: ", r.Release)
	if r.Err != nil {
		text = fmt.Appendf(text, "nothing can be traced:\n%s.\n", oneLine(r.Err))
	} else {
		text = fmt.Appendf(text, "tracing works, and started in %.2f s.\n%s\n", r.Start.Seconds(), lacking(r.Findings))
	}
	var checks []render.Check
	for i := range r.Findings {
		checks = append(checks, checkOf(&r.Findings[i]))
	}
	text, err := render.AppendChecklist(text, checks, render.ChecklistOptions{
		Width: terminalWidth(e), Color: e.coloured(), Unicode: isUTF8(e.getenv),
	})
	if err != nil {
		return err
	}
	_, err = e.stdout.Write(text)
	return err
}

func lacking(findings []kernel.Finding) string {
	n := 0
	for i := range findings {
		if findings[i].Mark == kernel.Lacks {
			n++
		}
	}
	if n == 0 {
		return "Nothing is missing."
	}
	return fmt.Sprintf("%d of %d checks found something missing.", n, len(findings))
}

// verdicts are the marks as a checklist has them.
var verdicts = [...]render.Verdict{kernel.Works: render.Good, kernel.Lacks: render.Missing, kernel.Unknown: render.Unsure}

func checkOf(f *kernel.Finding) render.Check {
	c := render.Check{Group: f.Group, Name: f.Name, Verdict: verdicts[f.Mark], Text: f.What}
	if f.Found != "" {
		c.Text += ": " + f.Found
	}
	for _, n := range []render.Note{{Word: "missing", Text: f.Lack}, {Word: "because", Text: f.Reason}, {Word: "remedy", Text: f.Remedy}} {
		if n.Text != "" {
			c.Notes = append(c.Notes, n)
		}
	}
	return c
}
