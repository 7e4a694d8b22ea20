package render

import "tcpstory/internal/diagnose"

// WriteRule writes what a rule is about, and its thresholds.
func WriteRule(w *Writer, r *diagnose.Rule, limits *diagnose.Limits, width int) error {
	b := append(w.buf, r.Name...)
	b = append(append(append(b, "  ("...), r.Family.String()...), "; "...)
	b = append(append(b, placeWords[r.Place]...), ")\n"...)
	b = appendParagraph(b, "    ", r.Says, width)
	if r.Limits != nil {
		b = appendLimits(b, r.Limits(limits), width)
	}
	b = appendParagraph(b, "    next: ", r.Next, width)
	return w.commit(b)
}

// WriteLimits writes thresholds that are no rule's.
func WriteLimits(w *Writer, title string, list []diagnose.Limit, width int) error {
	return w.commit(appendLimits(appendParagraph(w.buf, "", title, width), list, width))
}

func appendLimits(b []byte, list []diagnose.Limit, width int) []byte {
	for _, l := range list {
		b = appendParagraph(b, "    threshold: ", l.What+": "+l.Value, width)
	}
	return b
}
