package cluster

import (
	"testing"
	"time"
)

// TestFollowersHear of a commit behind which nothing comes, long before raft would tell them.
func TestFollowersHear(t *testing.T) {
	t.Parallel()
	const silence = 8 * time.Second
	r := newRigOf(t, 3, func(c *Config) { c.Commit = silence })
	for n := range 3 {
		r.write("t" + string(rune('a'+n)))
		began, index := time.Now(), r.leader().machine.View().Index()
		for _, s := range r.seats {
			if err := s.machine.WaitIndex(t.Context(), index); err != nil {
				t.Fatal(err)
			}
		}
		if took := time.Since(began); took > silence/2 {
			t.Errorf("write %d was heard of after %s", n, took)
		}
	}
}
