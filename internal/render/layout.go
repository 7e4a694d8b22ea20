package render

// minWidth is the narrowest terminal that the columns are made for; a narrower
// one wraps lines.
const minWidth = 72

// layout is where the columns stand, counted from 0, for one terminal width.
//
//	TIME  ID  [ADDRESSES]  PROCESS  TRANSITION  IN STATE  WIRE
//
// The wire column takes what is left. What a kernel event has to say behind its
// transition (an error, a reason) runs into the wire's place, which is empty on
// its line.
type layout struct {
	width     int
	id        int
	addresses int // same as process: none, headings tell them
	process   int
	move      int // the transition
	spent     int // the time in the state left
	wire      int
	roomy     bool // state names in full, blanks around the arrow
}

// The widths of columns, the blank behind them included.
const (
	addressesWidth = len("255.255.255.255.65535 - 255.255.255.255.65535") + 1

	tightProcess, roomyProcess = len("nginx/812") + 1, len("kworker/1234567") + 1
	tightMove, roomyMove       = len("FIN_WAIT1>FIN_WAIT2") + 1, len("ESTABLISHED > CLOSE_WAIT") + 1
	tightSpent, roomySpent     = len("1.2ms") + 1, len("1.2ms") + 2
)

// From which width on the columns are roomy, and each line tells its addresses.
const (
	roomyFrom     = 100
	addressesFrom = 190
)

// layoutFor lays out a terminal of that many columns. timeWidth is that of the
// time with its blank, idWidth that of the widest id.
func layoutFor(width, timeWidth, idWidth int) layout {
	l := layout{width: max(width, minWidth), id: timeWidth, roomy: width >= roomyFrom}
	process, move, spent := tightProcess, tightMove, tightSpent
	if l.roomy {
		process, move, spent = roomyProcess, roomyMove, roomySpent
	}
	l.addresses = l.id + idWidth + 1
	l.process = l.addresses
	if width >= addressesFrom {
		l.process += addressesWidth
	}
	l.move = l.process + process
	l.spent = l.move + move
	l.wire = l.spent + spent
	return l
}

func (l *layout) hasAddresses() bool { return l.process != l.addresses }
