package lab

import (
	"context"
	"fmt"
	"time"
)

// pollEvery is the pace at which the kernel is asked: its socket diagnosis and
// its rule counters have no event to wait for.
const pollEvery = 2 * time.Millisecond

// scenarioWait bounds a wait where the context sets no bound.
const scenarioWait = time.Minute

// awaitKernel asks until the answer is yes.
func awaitKernel(ctx context.Context, what string, ask func() (bool, error)) error {
	ctx, cancel := context.WithTimeout(ctx, scenarioWait)
	defer cancel()
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		if ok, err := ask(); err != nil || ok {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for %s: %w", what, ctx.Err())
		case <-tick.C:
		}
	}
}
