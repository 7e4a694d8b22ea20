package whytest

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"tcpstory/internal/diagnose"
	"tcpstory/internal/kernel/middletest"
	"tcpstory/internal/lab"
	"tcpstory/internal/tcp"
)

// limits are the published ones, but for what a middlebox needs to forget: half a
// minute is more than a test can wait.
func limits() diagnose.Limits {
	l := diagnose.DefaultLimits
	l.Idle = 1200 * time.Millisecond
	return l
}

// overLimit is how long a bad condition is held: a fifth longer than it may last.
var overLimit = diagnose.DefaultLimits.After * 6 / 5

// performance is one case over one family.
type performance struct {
	lab.Scenario
	family         lab.Family
	client, server uint32 // namespaces, whose numbers are used again
	begun, ended   int64  // when they were these, ns since 1970
	err            error
	vantages       [len(lab.Vantages)]*vantage
	sparing        [len(lab.Vantages)]*vantage // the same without the middle of streams
}

func (p *performance) name() string { return p.Name + "/" + p.family.String() }

// perform acts the case out.
func (p *performance) perform(ctx context.Context) (err error) {
	hold := func(ctx context.Context, _ lab.Standing) error {
		if !p.Verdicts.Held {
			return nil
		}
		select {
		case <-time.After(overLimit):
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	l, err := lab.New(ctx, lab.Options{Topology: p.Topology, Hold: hold})
	if err != nil {
		return err
	}
	p.begun = time.Now().UnixNano()
	p.client, p.server = l.Host(lab.Client).Netns(), l.Host(lab.Server).Netns()
	err = p.Run(ctx, l, p.family)
	time.Sleep(settled)
	p.ended = time.Now().UnixNano()
	if closeErr := l.Close(); err == nil {
		err = closeErr
	}
	return err
}

// settled is how long namespaces stay after a case, so that their counters can be
// read: once a second that is done.
const settled = 1500 * time.Millisecond

// together is how many cases are acted out at a time.
const together = 12

// performAll acts all cases out that TCPSTORY_CASE names, or all.
func performAll(t *testing.T, families ...lab.Family) (all []*performance) {
	only := os.Getenv("TCPSTORY_CASE")
	for _, s := range lab.Cases() {
		if only != "" && !slices.Contains(strings.Split(only, ","), s.Name) {
			continue
		}
		for _, f := range families {
			all = append(all, &performance{Scenario: s, family: f})
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	slots := make(chan struct{}, together)
	var wg sync.WaitGroup
	for _, p := range all {
		slots <- struct{}{}
		wg.Go(func() {
			p.err = p.perform(ctx)
			<-slots
		})
	}
	wg.Wait()
	return all
}

// TestMatrix: every case, from each vantage, over both families, gives the verdicts
// that are stated with it, and no others.
func TestMatrix(t *testing.T) {
	path := filepath.Join(t.TempDir(), "story.pcapng")
	recorder := trace(t, "record", "-w", path, "--rows", "none", "tcp and portrange 7700-7799 or icmp or icmp6")
	all := performAll(t, lab.Families[:]...)
	recorder.end(0)
	if keep := os.Getenv("TCPSTORY_KEEP"); keep != "" {
		if b, err := os.ReadFile(path); err == nil {
			os.WriteFile(keep, b, 0o644)
		}
	}
	var vantages, sparing []*vantage
	for _, p := range all {
		for i, see := range [...][]uint32{{p.client}, {p.server}, {p.client, p.server}} {
			p.vantages[i] = newVantage(limits(), p.begun, p.ended, see...)
			p.sparing[i] = newVantage(limits(), p.begun, p.ended, see...)
		}
		vantages = append(vantages, p.vantages[:]...)
		sparing = append(sparing, p.sparing[:]...)
	}
	judge(t, path, func(*tcp.Event) bool { return false }, vantages)
	m := middletest.New()
	judge(t, path, m.Leaves, sparing)
	if os.Getenv(writeDocVar) != "" {
		writeDoc(t, all)
	}
	var s, spared score
	for _, p := range all {
		t.Run(p.name(), func(t *testing.T) {
			if p.err != nil {
				t.Fatal(p.err)
			}
			for i, who := range lab.Vantages {
				t.Run(who, func(t *testing.T) { s.compare(t, p, p.vantages[i], who) })
				t.Run(who+", sparing", func(t *testing.T) { spared.compare(t, p, p.sparing[i], who) })
			}
		})
	}
	if m.Left == 0 {
		t.Error("there is no stream whose middle could be left out")
	}
	t.Logf("all events: %s; less %d in the middle of streams: %s", &s, m.Left, &spared)
}

func percent(n, of int) string {
	if of == 0 {
		return "-"
	}
	return fmt.Sprintf("%.1f %%", 100*float64(n)/float64(of))
}
