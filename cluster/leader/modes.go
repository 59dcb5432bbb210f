package leader

import (
	"context"
	"time"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/fsm"
)

// modeAgain is when a cell whose mode could not be changed is looked at again.
const modeAgain = time.Second

// keepModes goes on with what operators began: a cell that drains is drained when its last lease has
// ended, and one that returns takes work when it is ready and has been there for the warm-up.
func (t *term) keepModes(ctx context.Context) {
	t.tend(ctx, func(v *fsm.View) (draining bool, pause time.Duration) {
		pause = idle
		moving := func(c *api.CellRecord) bool {
			return !c.Revoked && (c.Mode == api.ModeDraining || c.Mode == api.ModeReturning)
		}
		for _, c := range v.CellsWhere(moving) {
			next, wait := t.nextMode(v, c)
			draining = draining || c.Mode == api.ModeDraining
			pause = min(pause, wait)
			if next == "" {
				continue
			}
			if !t.submit(ctx, "change a cell's mode", fsm.SetCellMode{Actor: "scheduler", Provider: c.Provider, Cell: c.ID, Mode: next}) {
				pause = min(pause, modeAgain)
			}
		}
		return draining, pause
	})
}

// nextMode is what a cell becomes now, "" where it stays as it is, and when to look again at most.
func (t *term) nextMode(v *fsm.View, c api.CellRecord) (next api.CellMode, again time.Duration) {
	if c.Revoked || c.Revoking {
		return "", idle
	}
	switch c.Mode {
	case api.ModeDraining:
		if v.LeaseCount(c.ID) > 0 {
			return "", idle
		}
		if c.DrainTo == "" {
			return api.ModeDrained, idle
		}
		return c.DrainTo, idle
	case api.ModeReturning:
		ready, _ := v.Readiness(c)
		left := t.cfg.Warmup - time.Duration(t.now()-c.ModeAt)
		switch {
		case !ready.Ready():
			return "", idle // its record changes when it is
		case left > 0:
			return "", left
		}
		return api.ModeAccepting, idle
	case api.ModeAccepting, api.ModeDrained, api.ModeMaintenance:
	}
	return "", idle
}
