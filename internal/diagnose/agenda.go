package diagnose

// agenda holds the records that something is due for, the earliest first: a binary
// heap, so that those which wait cost nothing until their time has come.
type agenda struct{ due []*record }

// first is the one that is due next; nil: nothing is.
func (a *agenda) first() *record {
	if len(a.due) == 0 {
		return nil
	}
	return a.due[0]
}

// set has r due at a time, earlier or later than before.
func (a *agenda) set(r *record, at int64) {
	r.due = at
	if !r.listed {
		r.listed, r.slot = true, int32(len(a.due))
		a.due = append(a.due, r)
	}
	a.down(a.up(int(r.slot)))
}

// remove has nothing due for r.
func (a *agenda) remove(r *record) {
	r.due = never
	if !r.listed {
		return
	}
	i, last := int(r.slot), len(a.due)-1
	a.put(i, a.due[last])
	a.due[last] = nil
	a.due = a.due[:last]
	r.listed = false
	if i < last {
		a.down(a.up(i))
	}
}

func (a *agenda) put(i int, r *record) {
	a.due[i], r.slot = r, int32(i)
}

// up moves the i-th to where those before it are not later, and tells where that is.
func (a *agenda) up(i int) int {
	r := a.due[i]
	for i > 0 {
		parent := (i - 1) / 2
		if a.due[parent].due <= r.due {
			break
		}
		a.put(i, a.due[parent])
		i = parent
	}
	a.put(i, r)
	return i
}

// down moves the i-th to where those behind it are not earlier.
func (a *agenda) down(i int) {
	r := a.due[i]
	for {
		child := 2*i + 1
		if child >= len(a.due) {
			break
		}
		if child+1 < len(a.due) && a.due[child+1].due < a.due[child].due {
			child++
		}
		if a.due[child].due >= r.due {
			break
		}
		a.put(i, a.due[child])
		i = child
	}
	a.put(i, r)
}
