package main

import (
	"tcpstory/internal/diagnose"
	"tcpstory/internal/render"
)

// listRules is why --rules.
func listRules(e *env, o *options) error {
	w := render.NewWriter(e.stdout, "standard output", false)
	limits := o.limits()
	width := 0
	if e.terminal {
		width = terminalWidth(e)
	}
	for i := range diagnose.Rules {
		if err := render.WriteRule(w, &diagnose.Rules[i], &limits, width); err != nil {
			return err
		}
	}
	if err := render.WriteLimits(w, "Of what is told in lines, not of --json or --summary (--every: not at all)", limits.CrowdLimits(), width); err != nil {
		return err
	}
	return w.Close()
}
