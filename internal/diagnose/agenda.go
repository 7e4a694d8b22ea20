package diagnose

// agenda holds the records that something is due for, the earliest first: a binary
// heap, so that those which wait cost nothing until their time has come.
type agenda struct{ due []item }

// item has the time of its record with it: putting them in order looks at no record,
// which lie far apart.
type item struct {
	at int64
	r  *record
}

// first is the one that is due next; nil: nothing is.
func (a *agenda) first() *record {
	if len(a.due) == 0 {
		return nil
	}
	return a.due[0].r
}

// set has r due at a time, earlier or later than before.
func (a *agenda) set(r *record, at int64) {
	r.due = at
	if !r.listed {
		r.listed, r.slot = true, int32(len(a.due))
		a.due = append(a.due, item{})
	}
	a.settle(int(r.slot), item{at, r})
}

// remove has nothing due for r.
func (a *agenda) remove(r *record) {
	r.due = never
	if !r.listed {
		return
	}
	r.listed = false
	i, last := int(r.slot), len(a.due)-1
	moved := a.due[last]
	a.due[last] = item{}
	a.due = a.due[:last]
	if i < last {
		a.settle(i, moved)
	}
}

// settle puts t where it belongs, which the i-th place is free for.
func (a *agenda) settle(i int, t item) { a.down(a.up(i, t), t) }

func (a *agenda) put(i int, t item) {
	a.due[i], t.r.slot = t, int32(i)
}

// up finds t's place where those before it are not later, from the i-th on, which is free.
func (a *agenda) up(i int, t item) int {
	for i > 0 {
		parent := (i - 1) / 2
		if a.due[parent].at <= t.at {
			break
		}
		a.put(i, a.due[parent])
		i = parent
	}
	return i
}

// down puts t where those behind it are not earlier, from the i-th place on, which is free.
func (a *agenda) down(i int, t item) {
	for {
		child := 2*i + 1
		if child >= len(a.due) {
			break
		}
		if child+1 < len(a.due) && a.due[child+1].at < a.due[child].at {
			child++
		}
		if a.due[child].at >= t.at {
			break
		}
		a.put(i, a.due[child])
		i = child
	}
	a.put(i, t)
}
