package kernel

import (
	"testing"

	"tcpstory/internal/tcp"
)

// TestLifeFlagsAreTheSame in C and in Go.
func TestLifeFlagsAreTheSame(t *testing.T) {
	for f, want := range map[tcp.LifeFlags]traceLifeFlag{
		tcp.LifeOut: traceLifeFlagLIFE_OUT, tcp.LifeIn: traceLifeFlagLIFE_IN, tcp.LifeWasOpen: traceLifeFlagLIFE_WAS_OPEN,
		tcp.LifeOwnFIN: traceLifeFlagLIFE_OWN_FIN, tcp.LifeFINFirst: traceLifeFlagLIFE_FIN_FIRST,
		tcp.LifePeerFIN: traceLifeFlagLIFE_PEER_FIN, tcp.LifeMinisock: traceLifeFlagLIFE_MINISOCK,
		tcp.LifeHadFile: traceLifeFlagLIFE_HAD_FILE, tcp.LifeOwnerComes: traceLifeFlagLIFE_OWNER_COMES,
		tcp.LifeResetComes: traceLifeFlagLIFE_RESET_COMES, tcp.LifeIsOpen: traceLifeFlagLIFE_IS_OPEN,
		tcp.LifeChosen: traceLifeFlagLIFE_CHOSEN, tcp.LifeGuessed: traceLifeFlagLIFE_GUESSED, tcp.LifeHalf: traceLifeFlagLIFE_HALF,
	} {
		if uint32(f) != uint32(want) {
			t.Errorf("%#x in Go is %#x in C", f, want)
		}
	}
}
