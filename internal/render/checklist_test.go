package render

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

var checks = []Check{
	{Group: "kernel", Name: "BTF", Text: "types"},
	{Group: "kernel", Name: "lockdown", Verdict: Unsure, Text: "what the kernel keeps even from root", Notes: []Note{{"because", "it could not be read"}}},
	{Group: "sockets", Name: "exit of tcp_v4_connect", Verdict: Missing, Text: "connects that fail before a SYN, over IPv4 alone",
		Notes: []Note{{"missing", "such connects are not seen"}, {"remedy", "boot with lockdown=none, or do without"}}},
}

func checklist(t *testing.T, o ChecklistOptions) string {
	t.Helper()
	out, err := AppendChecklist([]byte("verdict\n"), checks, o)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

func TestChecklist(t *testing.T) {
	want := `verdict

  KERNEL
✓ BTF                     types
? lockdown                what the kernel keeps even
                          from root
    because               it could not be read

  SOCKETS
– exit of tcp_v4_connect  connects that fail before a
                          SYN, over IPv4 alone
    missing               such connects are not seen
    remedy                boot with lockdown=none, or do
                          without
`
	if d := cmp.Diff(want, checklist(t, ChecklistOptions{Width: 56, Unicode: true})); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
}

// At any width that has room for it the table fits, in one line a check where
// that does, and colours and signs change nothing of it.
func TestChecklistFits(t *testing.T) {
	plain := map[int]string{}
	for _, width := range []int{60, 80, 100, 160, 300} {
		plain[width] = checklist(t, ChecklistOptions{Width: width, Unicode: true})
		for line := range strings.Lines(plain[width]) {
			if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > width {
				t.Errorf("%d of %d columns: %s", n, width, line)
			}
		}
		coloured := checklist(t, ChecklistOptions{Width: width, Unicode: true, Color: true})
		for _, s := range []style{styleBold, styleDim, styleGreen, styleYellow, stylePlain} {
			if !strings.Contains(coloured, string(s)) {
				t.Errorf("no %q in colour", s)
			}
			coloured = strings.ReplaceAll(coloured, string(s), "")
		}
		if coloured != plain[width] {
			t.Errorf("%d columns, coloured:\n%s", width, coloured)
		}
		ascii := checklist(t, ChecklistOptions{Width: width})
		if got := strings.NewReplacer("✓", "+", "–", "-").Replace(plain[width]); ascii != got {
			t.Errorf("%d columns, ASCII:\n%s", width, ascii)
		}
	}
	if n := strings.Count(plain[160], "\n"); n != 11 {
		t.Errorf("%d lines where each text has room:\n%s", n, plain[160])
	}
}
