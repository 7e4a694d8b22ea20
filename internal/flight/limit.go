package flight

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Limit lets so many incidents through in a minute, and counts the others by why.
type Limit struct {
	most int
	let  []int64 // when the last ones were let through
	out  map[string]uint64
}

// NewLimit returns a limit of so many a minute.
func NewLimit(most int) *Limit { return &Limit{most: most, out: map[string]uint64{}} }

// Lets reports whether an incident is to be written. Events' times may step back a
// little.
func (l *Limit) Lets(now int64) bool {
	l.let = slices.DeleteFunc(l.let, func(at int64) bool { return now-at >= int64(time.Minute) })
	if len(l.let) >= l.most {
		return false
	}
	l.let = append(l.let, now)
	return true
}

// LeaveOut counts one that is not written.
func (l *Limit) LeaveOut(why string) { l.out[why]++ }

// LeftOut returns how many were not written since it was asked last, and which.
func (l *Limit) LeftOut() (n uint64, which string) {
	var parts []string
	for _, why := range slices.Sorted(maps.Keys(l.out)) {
		n += l.out[why]
		parts = append(parts, fmt.Sprintf("%d %s", l.out[why], why))
	}
	clear(l.out)
	return n, strings.Join(parts, ", ")
}
