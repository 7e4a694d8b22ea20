package diagnose_test

import (
	"strings"
	"testing"

	"tcpstory/internal/conn/conntest"
	"tcpstory/internal/diagnose"
	"tcpstory/internal/tcp"
)

// TestCopies: what the socket throws away and has already is no trouble, whatever the
// reason, nor is an empty segment.
func TestCopies(t *testing.T) {
	for _, reason := range []string{"TCP_RFC7323_PAWS", "TCP_INVALID_SEQUENCE", "TCP_OLD_SEQUENCE", "TCP_ZEROWINDOW", ""} {
		s := begin()
		s.answered()
		s.confirmed()
		for range 10 {
			s.Kernel(s.c, tcp.KindDrop, conntest.Reason(reason), conntest.Segment(tcp.DirIn, conntest.PA, s.ack-100, 100))
			s.Kernel(s.c, tcp.KindDrop, conntest.Reason(reason), conntest.Segment(tcp.DirIn, conntest.A, s.ack-1, 0))
		}
		if have := told(t, s, limits); len(have) > 0 {
			t.Errorf("%q: %v", reason, have)
		}
	}
}

// TestDropWords: a finding says what the kernel's reason means and where to look then;
// without a reason, it claims less.
func TestDropWords(t *testing.T) {
	for _, c := range []struct {
		reason, rule, text string
		want               diagnose.Certainty
	}{
		{"NETFILTER_DROP", "dropped-locally", "(NETFILTER_DROP)", diagnose.Sure},
		{"IP_RPFILTER", "dropped-locally", "(IP_RPFILTER: the way back to their sender is another)", diagnose.Sure},
		{"TCP_CSUM", "dropped-locally", "(TCP_CSUM: their checksum is wrong)", diagnose.Sure},
		{"TCP_RFC7323_PAWS", "unacceptable-segments", "(TCP_RFC7323_PAWS: their timestamps are older than what came before)", diagnose.Sure},
		{"", "dropped-locally", "(the kernel gives no reason)", diagnose.Probably},
	} {
		s := thrownAway(120, c.reason)
		list := saidOf(t, s.Story, s.c.Netns)
		certain(t, list, c.rule, c.want)
		if len(list) == 1 && !strings.HasSuffix(list[0].text, c.text) {
			t.Errorf("said was %q, and is to end in %s", list[0].text, c.text)
		}
	}
}
