package render

import "tcpstory/internal/diagnose"

// WriteRule writes what a rule is about, and its thresholds.
func WriteRule(w *Writer, r *diagnose.Rule, limits *diagnose.Limits, width int) error {
	b := append(w.buf, r.Name...)
	b = append(append(append(b, "  ("...), r.Family.String()...), "; "...)
	b = append(append(b, placeWords[r.Place]...), ")\n"...)
	b = appendParagraph(b, "    ", r.Says, width)
	if r.Limits != nil {
		for _, l := range r.Limits(limits) {
			b = appendParagraph(b, "    threshold: ", l.What+": "+l.Value, width)
		}
	}
	b = appendParagraph(b, "    next: ", r.Next, width)
	return w.commit(b)
}
