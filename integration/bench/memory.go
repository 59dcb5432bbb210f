package main

import (
	"context"
	"os"
	"time"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/integration/bench/internal/proc"
	"github.com/grafos/grafos/integration/internal/harness"
)

// memory: resident memory of idle nodes, a minute after they came up; the binary's size.
func (b *bench) memory(ctx context.Context) error {
	b.title("memory of idle nodes")
	return b.cluster(ctx, 3, func(c *harness.Cluster) error {
		if err := harness.Pause(ctx, 20*time.Second); err != nil {
			return err
		}
		s, err := c.Status(ctx)
		if err != nil {
			return err
		}
		var most [2]int64
		for _, n := range s.Schedulers {
			rss, err := proc.Resident(n.PID)
			if err != nil {
				return err
			}
			most[0] = max(most[0], rss)
		}
		for _, n := range s.Cells {
			rss, err := proc.Resident(n.PID)
			if err != nil {
				return err
			}
			most[1] = max(most[1], rss)
		}
		info, err := os.Stat(b.bin)
		if err != nil {
			return err
		}
		b.say("scheduler: %s at most   aim: under 60 MiB (Nomad server: 104 to 113 MiB)", api.FormatSize(most[0]))
		b.say("cell:      %s at most   aim: under 50 MiB", api.FormatSize(most[1]))
		b.say("binary:    %.1f MB   aim: under 40 MB (Nomad: 98 MB)", float64(info.Size())/1e6)
		return nil
	})
}
