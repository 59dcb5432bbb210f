//go:build nextlevel

package leader

import (
	"context"
	"time"

	"github.com/grafos/grafos/fsm"
)

// next writes what only the next level knows, as soon as the cluster is at it.
func (t *term) next() []func(context.Context) {
	return []func(context.Context){func(ctx context.Context) {
		for sleep(ctx, nil, 200*time.Millisecond) {
			if fsm.LevelOf(fsm.Probe{}) <= t.cfg.Machine.View().Level() {
				t.submit(ctx, "probe", fsm.Probe{})
			}
		}
	}}
}
