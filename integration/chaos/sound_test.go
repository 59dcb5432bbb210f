package chaos

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/grafos/grafos/api/client"
	"github.com/grafos/grafos/cluster"
	"github.com/grafos/grafos/cluster/store/snap"
	"github.com/grafos/grafos/fsm"
)

// sound looks through the state of every scheduler for broken invariants (L1, L2, L8): here, since a scheduler
// does not look through a large one.
func (r *run) sound(ctx context.Context) (faults []string) {
	records := 0
	for _, s := range r.fleet.Schedulers {
		v, err := stateOf(ctx, r.alone[s.Name], s.Name)
		if err != nil {
			faults = append(faults, fmt.Sprintf("the state of %s was not looked through: %v", s.Name, err))
			continue
		}
		for _, err := range fsm.Check(v) {
			faults = append(faults, fmt.Sprintf("%s: %v", s.Name, err))
		}
		n := v.Counts()
		records += n.Leases + n.Runs + n.Keys
	}
	r.t.Logf("%d leases, runs and keys of %d schedulers looked through for broken invariants", records, len(r.fleet.Schedulers))
	return faults
}

// stateOf is the state that one scheduler has.
func stateOf(ctx context.Context, one *client.Client, name string) (v *fsm.View, err error) {
	body, err := one.SaveSnapshot(ctx, true)
	if err != nil {
		return nil, fmt.Errorf("save its state: %w", err)
	}
	defer func() { err = errors.Join(err, body.Close()) }()
	_, state, err := snap.ReadArchive(body, name)
	if err != nil {
		return nil, fmt.Errorf("open its state: %w", err)
	}
	if v, err = cluster.ReadState(state); err == nil {
		_, err = io.Copy(io.Discard, state) // what makes it whole stands at its end
	}
	if err != nil {
		return nil, fmt.Errorf("read its state: %w", err)
	}
	return v, nil
}
