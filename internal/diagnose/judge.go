package diagnose

import (
	"cmp"
	"slices"
)

// Finding is one thing that is wrong with a connection.
type Finding struct {
	Rule      *Rule
	Place     Place
	Certainty Certainty
	Text      string // one line, in plain words, with the numbers that matter
	Next      string // what to look at next
	Numbers   []Number
	Standing  bool  // it goes on
	fresh     bool  // it is news, though its last word was said
	proven    bool  // by what was seen since something was lost last
	gone      bool  // it was gone for long enough
	since     int64 // standing: since when, of what comes and goes
	last      int64 // when it was so last, of what comes and goes
	of        *record
	cites     sights
}

// Number is one that matters: what is counted, and how many.
type Number struct {
	What string
	N    uint32
}

// number is f with a number.
func (f Finding) number(what string, n uint32) Finding {
	f.Numbers = append(f.Numbers, Number{what, n})
	return f
}

// Verdict is what is said of a connection at some time. It is valid during the call.
type Verdict struct {
	Time     int64     // of the moment that it speaks of, ns since 1970
	End      *End      // whose end the first finding is about
	Findings []Finding // the root cause first
	Evidence []Clue    // by time
	Episode  int       // 0: the first of this connection; what was said in others is over
	Update   int       // 0: the first of this episode
	Since    int64     // an update: the time of the one before
	Standing bool      // it goes on
	Alike    bool      // a Crowd counts it
	Formerly []uint64  // other numbers than End's under which something was said of the conversation, each named once
	Was      []Telling // by which numbers, and in which episodes of theirs, what is said now was said of two ends that were not known to be each other's
	Fresh    bool      // all that was said of it before, if anything, is counted by crowds
}

// exam is one look at a record.
type exam struct {
	e    *Engine
	lim  *Limits
	r    *record
	now  int64
	over bool  // the connection is
	next int64 // when to look again; 0: when something happens
}

// judge looks at r, says what is news, and decides when to look again.
func (e *Engine) judge(r *record, now int64) {
	if p := r.peer; p != nil && p.listed && p.due > r.due && p.due-r.due < int64(settle) {
		e.watched.set(r, p.due) // both at once
		return
	}
	e.rest(r)
	e.found = e.found[:0]
	e.examine(r, now)
	if p := r.peer; p != nil {
		e.examine(p, now)
	}
	live := e.live()
	e.say(r, rootFirst(e.found, r.told), now)
	e.endEpisodes(r, live, now)
	if r.closed != 0 && now >= r.closed {
		r.attests(&e.lim)
		e.release(r)
	}
}

// live are the rules of which something was found that is not over.
func (e *Engine) live() (rules uint64) {
	for i := range e.found {
		if f := &e.found[i]; !f.gone {
			rules |= f.bit()
		}
	}
	return rules
}

// examine adds what is wrong with r to what was found.
func (e *Engine) examine(r *record, now int64) {
	if r.file == nil && r.slow == 0 && r.turn == nobody && r.closed == 0 {
		return
	}
	x := &e.exam
	*x = exam{e: e, lim: &e.lim, r: r, now: now, over: r.closed != 0}
	e.doubt(r)
	for i := range Rules {
		rule := &Rules[i]
		f, ok := rule.find(x)
		if x.next != 0 && !x.over {
			e.wake(r, x.next)
		}
		if !ok {
			continue
		}
		f.Rule, f.of = rule, r
		if rule.course != nil {
			x.follow(rule.course, &f)
		}
		if f.Place == PlaceUnknown {
			f.Place = rule.Place
		}
		if f.Next == "" {
			f.Next = rule.Next
		}
		if e.weakened(r) && !f.proven {
			f.Certainty = f.Certainty.weaker()
		}
		e.found = append(e.found, f)
	}
}

// rootFirst orders findings by their rules' order in the table, and leaves out
// what another one explains, said before or now.
func rootFirst(found []Finding, before *told) []Finding {
	slices.SortStableFunc(found, func(a, b Finding) int { // of two alike the surer one, then the client's
		return cmp.Or(a.Rule.order-b.Rule.order, int(b.Certainty)-int(a.Certainty), int(a.of.Role)-int(b.of.Role))
	})
	var covered uint64
	for i := range Rules {
		if before != nil && before.rules&^before.past&(1<<i) != 0 {
			covered |= Rules[i].covers
		}
	}
	for i := range found {
		covered |= found[i].Rule.covers
	}
	seen := uint64(0)
	return slices.DeleteFunc(found, func(f Finding) bool {
		bit := uint64(1) << f.Rule.order
		gone := covered&bit != 0 || seen&bit != 0
		seen |= bit
		return gone
	})
}

// say tells what has not been told.
func (e *Engine) say(r *record, found []Finding, now int64) {
	if len(found) == 0 || e.err != nil {
		return
	}
	t := r.told
	var rules, final, again uint64
	for i := range found {
		f := &found[i]
		rules |= f.bit()
		if !f.Standing {
			final |= f.bit()
		}
		if f.fresh = t != nil && f.news(t, now, &e.lim); f.fresh {
			again |= f.bit()
		}
	}
	if t != nil && rules&^t.rules == 0 && final&^t.final == 0 && again == 0 {
		return
	}
	if t == nil {
		t = &told{updates: -1}
		r.told = t
		if r.peer != nil {
			r.peer.told = t
		}
	}
	alike := e.alike(t, found, now)
	t.rules |= rules
	t.final = t.final&^again | final
	t.updates++
	v := Verdict{Episode: t.episode, Alike: alike, Fresh: !t.shown, Time: now, End: &found[0].of.End, Findings: found, Update: t.updates, Since: t.at, Standing: found[0].Standing}
	v.Evidence, v.Formerly, v.Was = evidence(found), t.under(v.End.Number), t.was
	t.was = nil
	t.at, t.shown = now, t.shown || !alike
	e.err = e.tell(&v)
}

// alike reports that all that is new of a conversation is only counted, each trouble
// with others of its like. Where one of them is to be told, so are the others, and
// count as told.
func (e *Engine) alike(t *told, found []Finding, now int64) bool {
	if e.crowds.tell == nil {
		return false
	}
	e.disperse(now)
	alike := true
	for i := range found {
		f := &found[i]
		alike = alike && (!t.isNews(f) || t.rules&f.bit() == 0 && e.crowds.full(f) != nil)
	}
	for i := range found {
		switch f := &found[i]; {
		case !t.isNews(f) || t.rules&f.bit() != 0:
		case alike:
			e.crowds.full(f).count(f)
			t.counted |= f.bit()
		default:
			e.crowds.admit(f, now)
		}
	}
	return alike
}

// isNews reports something to say of f that no crowd has counted.
func (t *told) isNews(f *Finding) bool {
	return t.counted&f.bit() == 0 && (f.fresh || t.rules&f.bit() == 0 || !f.Standing && t.final&f.bit() == 0)
}

func (f *Finding) bit() uint64 { return 1 << f.Rule.order }

// evidence gathers what the findings cite, by time.
func evidence(found []Finding) (list []Clue) {
	type half struct {
		r     *record
		cites sights
	}
	var halves []half
	for _, f := range found {
		i := slices.IndexFunc(halves, func(h half) bool { return h.r == f.of })
		if i < 0 {
			i = len(halves)
			halves = append(halves, half{r: f.of})
		}
		halves[i].cites |= f.cites
	}
	for _, h := range halves {
		if h.r.file == nil {
			continue
		}
		for _, c := range h.r.file.clues[:h.r.file.n] {
			if h.cites.has(c.Sight) {
				list = append(list, c)
			}
		}
	}
	slices.SortStableFunc(list, func(a, b Clue) int { return cmp.Compare(a.Time, b.Time) })
	return list
}
