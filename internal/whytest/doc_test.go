package whytest

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"tcpstory/internal/diagnose"
	"tcpstory/internal/render"
)

const docPath = "../../doc/WHY.md"

// writeDocVar has TestMatrix write the doc anew, with the output that it has seen.
const writeDocVar = "TCPSTORY_WRITE_DOC"

const docHead = `# Why: every rule

` + "`tcpstory why` speaks only of connections in trouble. Each rule below is what one of them can have: what it means,\n" +
	"the numbers that part it from health, what to look at next, and the output that the laboratory's case of it gave.\n" + `This file is made from the rules' table and from a run of the matrix test; a test compares it.

Places: *before the wire*: the kernel sent it, the device never saw it. *On the way*: it left, and what should come back
did not. *After the wire*: it arrived at the device, and the socket never moved. *In the application*: the kernels did
their part, a program did not. What is known depends on who looks: a full accept queue is syn-unanswered to who sees the
client's host only. Of two rules that fit, the one that stands first here is the cause, or came first; what it explains
is not said. What was lost, or not watched, takes a verdict from *sure* to *probably* or *unknown*, and the line says so.
A verdict that goes on comes again, as an update, when its last word is due or when there is another finding. A trouble that
was gone for a minute is over (the rules of what comes and goes say so): its last word is said, with all that came meanwhile,
and the next time it is told anew, as "again".
A request is slow when it is known that an answer is due: its server has answered another one, on whichever connection and
be it later, or has spoken first; or, at the server's host, no program has read the request, or not for so long. Else the first
request cannot be told from a stream one way (logs, metrics, an upload), which a server only reads, and hangs without a word.
What is not answered is *probably* slow: a long poll that waits longer than --slow is slow to it, too. The time counts from
the acknowledgement: what needed several attempts to get there was the way's fault. Where events were lost that the answer may
be among, and nothing more comes, it is *unknown*, after twice the time.
That an answer is whole nobody can see: a server's RST when all was acknowledged and at rest is taken for an idle time-out,
unless the answer's own pauses, or a last segment without PSH, say that more was to come; then it is *probably* cut.
What rests on a counter of the namespace alone (accept-queue-full, syn-queue-full) is *sure* only where it has moved with that
connection's segments, one by one, and with nothing else; a SYN cookie may be sent always, and is *probably* a full queue.
Of a recording that ends while something hangs, ` + "`" + `why -r` + "`" + ` says what stood at its end. Each rule can have the flight recorder
write the connection's story: ` + "`" + `tcpstory record --ring 64m -w /var/tmp --on rule:close-wait-leak` + "`" + `.

What is alike is told a few times, and then counted: a client that is refused 650 times a second, a port scan, a flood of SYNs
give "… 412 more × refused, in the application, to 10.0.0.5:5432 from nginx in the last 10s", each connection counted once.
Alike are verdicts with the same rule, place, side, network namespace and process name:

%s
` + "`--every`" + ` tells each in full. ` + "`--json`" + ` always has every verdict, so that a program can count and choose for itself, and no such
lines; ` + "`--summary`" + `, ` + "`--once`" + ` and the flight recorder know of each, too. A connection that is in trouble anew is told, or counted,
anew; ` + "`--summary`" + ` counts connections, each once for a rule, and behind them how many times it was: "3 × loss to … (17 times)".

With --json a verdict is an object: time, time_ns, kind (verdict), conn, formerly (other numbers that it was told of by,
before its two ends were known to be each other's), rule, place (before-wire, on-the-way, after-wire,
application), certainty, standing (it goes on), update (the how-manieth after the
first), episode (how often it was in trouble before, and that was over), text, next, numbers (those of the
text, by name), role, cookie, netns, netns_name, local_addr, local_port, remote_addr, remote_port, owner_pid, owner_comm,
cgroup_path, container, container_name and older as in other JSON output; then: what else is wrong, each with rule, place,
certainty, standing, text, next, numbers; evidence: each with time_ns, last_ns, count, what, role and what else is known.

`

// rulesText is what the table says of a rule.
func rulesText(r *diagnose.Rule) string {
	var b strings.Builder
	l := diagnose.DefaultLimits
	w := render.NewWriter(&b, "a text", false)
	if err := render.WriteRule(w, r, &l, 110); err != nil {
		panic(err)
	}
	w.Close()
	return b.String()
}

// crowdText is what the limits say of what is told one by one.
func crowdText() string {
	var b strings.Builder
	for _, l := range diagnose.DefaultLimits.CrowdLimits() {
		fmt.Fprintf(&b, "- %s: %s\n", l.What, l.Value)
	}
	return b.String()
}

// whyDoc is the whole file, with a sample of output for each rule.
func whyDoc(samples map[string]string) string {
	var b strings.Builder
	fmt.Fprintf(&b, docHead, crowdText())
	family := diagnose.Family(255)
	for i := range diagnose.Rules {
		r := &diagnose.Rules[i]
		if r.Family != family {
			family = r.Family
			fmt.Fprintf(&b, "# %s%s\n\n", strings.ToUpper(family.String()[:1]), family.String()[1:])
		}
		fmt.Fprintf(&b, "## %s\n\n```text\n%s```\n\n", r.Name, rulesText(r))
		if s := samples[r.Name]; s != "" {
			fmt.Fprintf(&b, "```\n%s```\n\n", s)
		} else {
			b.WriteString("It needs a kernel that allows programs at a function's exit; the laboratory's kernel does not, and has no output to show.\n\n")
		}
	}
	return strings.TrimRight(b.String(), "\n") + "\n"
}

// samplesOf takes the samples out of the file.
func samplesOf(doc string) map[string]string {
	samples := map[string]string{}
	block := regexp.MustCompile("(?s)```\n\n```\n(.*?)```\n")
	for _, section := range strings.Split(doc, "\n## ")[1:] {
		name, _, _ := strings.Cut(section, "\n")
		if m := block.FindStringSubmatch(section); m != nil {
			samples[name] = m[1]
		}
	}
	return samples
}

// needsExit are rules whose event this kernel may not tell.
var needsExit = map[string]bool{"no-route": true}

// TestDoc: doc/WHY.md says what the table says, and shows of each rule what why has
// printed.
func TestDoc(t *testing.T) {
	b, err := os.ReadFile(docPath)
	if err != nil {
		t.Fatal(err)
	}
	samples := samplesOf(string(b))
	if os.Getenv(writeDocVar) != "" {
		b = []byte(whyDoc(samples))
		if err := os.WriteFile(docPath, b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if whyDoc(samples) != string(b) {
		t.Errorf("%s is not what the table of rules says: run TestMatrix with %s=1, and commit", docPath, writeDocVar)
	}
	for i := range diagnose.Rules {
		name := diagnose.Rules[i].Name
		if !strings.Contains(samples[name], "\n  "+name+", ") && !needsExit[name] {
			t.Errorf("the output shown for %s is none of it", name)
		}
	}
}

// writeDoc writes the file anew from what was said in the matrix.
func writeDoc(t *testing.T, all []*performance) {
	samples, first := map[string]string{}, map[string]bool{}
	for _, p := range all {
		for _, v := range p.vantages {
			for _, o := range v.opinions {
				for i, u := range o.updates { // an update shows only what is news
					rule, s := u[0].rule, o.texts[i]
					if samples[rule] == "" || i == 0 && (!first[rule] || len(s) < len(samples[rule])) {
						samples[rule], first[rule] = s, i == 0
					}
				}
			}
		}
	}
	if err := os.WriteFile(docPath, []byte(whyDoc(samples)), 0o644); err != nil {
		t.Error(err)
	}
}
