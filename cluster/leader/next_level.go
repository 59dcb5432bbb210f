//go:build nextlevel

package leader

import (
	"context"
	"time"

	"github.com/grafos/grafos/fsm"
)

// next asks all the time for what only the next level knows: it is refused until the cluster
// is at it.
func (t *term) next() []func(context.Context) {
	return []func(context.Context){func(ctx context.Context) {
		for sleep(ctx, nil, 200*time.Millisecond) {
			if _, err := t.duty(ctx, &job{cmd: fsm.Probe{}}); err != nil {
				t.log.Debug("probe", "error", err)
			}
		}
	}}
}
