package diagnose

// Place is where a connection's trouble lies, as seen from its own end.
type Place uint8

// The places. Unknown is for what cannot be said.
const (
	PlaceUnknown Place = iota
	BeforeWire         // the kernel sent it, the device never saw it
	OnTheWay           // it left, and what should come back did not
	AfterWire          // it arrived at the device, and the socket never moved
	Application        // the kernels did their part, a program did not
)

var placeNames = [...]string{"unknown", "before-wire", "on-the-way", "after-wire", "application"}

// String returns the stable name that JSON output and the docs use.
func (p Place) String() string { return nameOf(placeNames[:], int(p)) }

// Family groups rules by what people say first.
type Family uint8

// The families.
const (
	CannotConnect Family = iota
	Stuck
	Dies
	WillNotDie
)

var familyNames = [...]string{"cannot connect", "slow or stuck", "dies", "will not die"}

// String returns the family's words.
func (f Family) String() string { return nameOf(familyNames[:], int(f)) }

// Certainty says how much a verdict claims.
type Certainty uint8

// The certainties. What was lost or not observed takes one step off.
const (
	Unknown Certainty = iota
	Probably
	Sure
)

var certaintyNames = [...]string{"unknown", "probably", "sure"}

// String returns the stable name that JSON output and the docs use.
func (c Certainty) String() string { return nameOf(certaintyNames[:], int(c)) }

// weaker is one step less.
func (c Certainty) weaker() Certainty {
	if c == Unknown {
		return c
	}
	return c - 1
}

func nameOf(names []string, i int) string {
	if i < len(names) {
		return names[i]
	}
	return names[0]
}
