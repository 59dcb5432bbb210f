package main

import (
	"context"
	"errors"
	"os"
	"time"

	"github.com/grafos/grafos/integration/internal/harness"
)

// upTimes is what dev up tells of itself.
type upTimes struct {
	LeaderMs int64 `json:"leader_ms"`
	UpMs     int64 `json:"up_ms"`
}

// start: three schedulers from empty directories to their first committed write.
func (b *bench) start(ctx context.Context) error {
	b.title("start, 3 schedulers and 3 cells from empty directories")
	var leader, up []time.Duration
	for range 5 {
		dir, err := os.MkdirTemp("", "grafos-bench-")
		if err != nil {
			return err
		}
		var t upTimes
		c, err := harness.UpJSON(ctx, &t, b.bin, dir, 3, 3)
		if err != nil {
			return errors.Join(err, os.RemoveAll(dir))
		}
		leader = append(leader, time.Duration(t.LeaderMs)*time.Millisecond)
		up = append(up, time.Duration(t.UpMs)*time.Millisecond)
		if err := errors.Join(c.Down(ctx), os.RemoveAll(dir)); err != nil {
			return err
		}
	}
	b.say("to the first committed write: %s   aim: under 1.5 s (Nomad to a leader: 1.54 s)", spread(leader))
	b.say("to three ready cells:         %s   aim: under 10 s, goal 3 s", spread(up))
	return nil
}
