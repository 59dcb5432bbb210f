package promises

import (
	"context"
	"fmt"

	"github.com/google/go-cmp/cmp"

	"github.com/grafos/grafos/api"
)

// leases: what was acknowledged is there (L3), once a key (L5), with epochs of its own (L4).
func (c *checker) leases(ctx context.Context) error {
	list, err := c.all.ListLeases(ctx, api.LeaseFilter{All: true}, api.ReadOptions{})
	if err != nil {
		return err
	}
	there := map[api.LeaseID]api.Lease{}
	epochs := map[uint64]api.LeaseID{}
	undone := map[string]bool{} // requests of which a lease was not bound: all or none
	for _, l := range list.Leases {
		there[l.ID] = l
		if other, twice := epochs[l.Epoch]; twice {
			c.breach("L4: epoch %d belongs to %s and %s", l.Epoch, other, l.ID)
		}
		epochs[l.Epoch] = l.ID
		if l.BoundGeneration == 0 || l.Reason == "bind_timeout" {
			undone[request(l)] = true
		}
	}
	owner := c.owners(there)
	for id, l := range there {
		// What nobody was told of can only be a grant whose cell did not bind it.
		if _, told := owner[id]; !told && l.RunID == "" && !undone[request(l)] {
			c.breach("L5: lease %s (%s, %s) was granted and bound, and no client knows it", id, l.State, l.Reason)
		}
	}
	c.note("%d requests acknowledged, %d leases in the state", len(c.told.Grants), len(there))
	return nil
}

// owners returns which key each acknowledged lease was granted to.
func (c *checker) owners(there map[api.LeaseID]api.Lease) map[api.LeaseID]string {
	owner := map[api.LeaseID]string{}
	for key, ids := range c.told.Grants {
		for _, id := range ids {
			if _, ok := there[id]; !ok {
				c.breach("L3: acknowledged lease %s is lost", id)
			}
			if other, twice := owner[id]; twice {
				c.breach("L5: lease %s was granted to keys %s and %s", id, other, key)
			}
			owner[id] = key
		}
	}
	return owner
}

// request names the request that a lease was granted to: its leases share the entry's time.
func request(l api.Lease) string { return fmt.Sprint(l.Tenant, l.CellID, l.Granted, l.TTLMs) }

// result is what of a run never changes (L8).
type result struct {
	State     api.RunState
	Exit      int
	Attempt   int
	Failure   api.Failure
	Artifacts []api.Artifact
}

func resultOf(r api.Run) result {
	return result{r.State, r.ExitCode, r.Attempt, r.Failure, r.Artifacts}
}

// runs: a result that was seen is the result for ever (L8).
func (c *checker) runs(ctx context.Context) error {
	states := map[api.RunState]int{}
	for id, seen := range c.told.Runs {
		a, err := c.all.ShowRun(ctx, id, api.ReadOptions{})
		if err != nil {
			c.breach("L8: run %s: %v", id, err)
			continue
		}
		states[a.State]++
		if diff := cmp.Diff(resultOf(seen), resultOf(a.Run)); diff != "" {
			c.breach("L8: the result of run %s changed (-was +is):\n%s", id, diff)
		}
	}
	if len(states) > 0 {
		c.note("runs: %v", states)
	}
	return nil
}

// agreement: every scheduler that applied an index has the same state there (L10), and none found a broken
// invariant in it (L1, L2, L8). None looks through a large one: a note says so.
func (c *checker) agreement(ctx context.Context) error {
	at := map[uint64]api.Fingerprint{}
	said := map[uint64]string{}
	common := 0
	for _, n := range c.nodes {
		st, err := n.Client.NodeState(ctx)
		if err != nil {
			return fmt.Errorf("ask %s: %w", n.Name, err)
		}
		for _, broken := range st.Broken {
			c.breach("%s: %s", n.Name, broken)
		}
		if st.CheckedIndex == 0 {
			c.note("%s never looked through its state for broken invariants", n.Name)
		}
		for _, f := range st.Fingerprints {
			other, seen := at[f.Index]
			if seen && other.Hash != f.Hash {
				c.breach("L10: at index %d %s has state %s and %s has %s", f.Index, said[f.Index], other.Hash, n.Name, f.Hash)
			}
			if seen {
				common++
			}
			at[f.Index], said[f.Index] = f, n.Name
		}
	}
	if common == 0 && len(c.nodes) > 1 {
		c.breach("L10: no two schedulers told a fingerprint of the same index")
	}
	c.note("%d fingerprints compared between %d schedulers", common, len(c.nodes))
	return nil
}
