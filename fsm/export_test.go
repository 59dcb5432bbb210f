package fsm

import (
	"github.com/hashicorp/raft"
	"pgregory.net/rapid"

	"github.com/grafos/grafos/api"
)

// RandomLog draws a log that may make sense, for tests that see only what the package exports.
func RandomLog(t *rapid.T, entries int) []*raft.Log {
	p := newPair(t)
	p.quick, p.twin.quick = true, true
	for range entries {
		var cs []Command
		for range rapid.IntRange(0, 3).Draw(t, "commands") {
			cs = append(cs, p.command(t))
		}
		p.tick += api.Tick(rapid.SampledFrom([]int64{0, 1e6, 1e9, 5e9, 60e9}).Draw(t, "pass"))
		p.commit(t, cs...)
	}
	return p.log
}
