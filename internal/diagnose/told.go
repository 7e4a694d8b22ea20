package diagnose

import "slices"

// told is what has been said of a conversation; both its ends share it.
type told struct {
	rules    uint64 // those of which something was said
	final    uint64 // those of which the last word was said
	counted  uint64 // those of which no more was said than how many have it
	past     uint64 // those that explain nothing any more: what they were about is over
	shown    bool   // something was said that no crowd counts
	updates  int
	episode  int      // how often all that was said was over
	at       int64    // when something was said last
	number   uint64   // the conversation's, then
	formerly []uint64 // others under which something was said, and which are not told of yet
	was      []Telling
}

// Telling is by which number and in which episode something was said.
type Telling struct {
	Number  uint64
	Episode int
}

// under has the conversation told of by its number from now on, and returns the others
// that it was told of by: two ends get one number when they are known to be each other's.
func (t *told) under(number uint64) (formerly []uint64) {
	if number == 0 {
		return nil
	}
	formerly, t.formerly = t.formerly, nil
	if t.number != 0 {
		formerly = append(formerly, t.number)
	}
	t.number = number
	return slices.DeleteFunc(formerly, func(n uint64) bool { return n == number })
}

// unite makes one of what was said of two ends; either may be nil. What was told of one
// and only counted of the other is told.
func (t *told) unite(b *told) *told {
	switch {
	case b == nil || b == t:
		return t
	case t == nil:
		return b
	}
	t.counted = t.counted&^(b.rules&^b.counted) | b.counted&^(t.rules&^t.counted)
	t.final = t.final&(b.final|^b.rules) | b.final&(t.final|^t.rules) // where one goes on, it is not the last word
	t.was = append(append(t.was, Telling{t.number, t.episode}, Telling{b.number, b.episode}), b.was...)
	t.past = t.past&(b.past|^b.rules) | b.past&(t.past|^t.rules)
	t.rules |= b.rules
	t.shown = t.shown || b.shown
	t.updates += b.updates + 1 // both began at 0
	t.episode = max(t.episode, b.episode)
	t.at = max(t.at, b.at)
	t.formerly = append(t.formerly, b.formerly...)
	if b.number != 0 {
		t.formerly = append(t.formerly, b.number)
	}
	return t
}
