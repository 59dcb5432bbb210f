package history

import (
	"fmt"

	"github.com/anishathalye/porcupine"

	"github.com/grafos/grafos/api"
)

type leaseOp string

const (
	granted leaseOp = "grant"
	renewed leaseOp = "renew"
	ended   leaseOp = "end"
	read    leaseOp = "read"
)

// leaseIn is what was asked of a lease.
type leaseIn struct {
	op leaseOp
	id api.LeaseID
}

// leaseOut is what was answered; without known, nothing was.
type leaseOut struct {
	known bool
	leaseState
}

// leaseState is the model: the zero value is a lease that does not exist.
type leaseState struct {
	state      api.LeaseState
	generation uint64
	epoch      uint64
}

func seen(l api.Lease) leaseOut {
	return leaseOut{known: true, leaseState: leaseState{l.State, l.Generation, l.Epoch}}
}

// leaseModel checks each lease for itself.
func leaseModel() porcupine.Model {
	return porcupine.Model{
		Partition: func(ops []porcupine.Operation) [][]porcupine.Operation {
			return partition(ops, func(in any) string { return string(asLease(in).id) })
		},
		Init: func() any { return leaseState{} },
		Step: func(state, in, out any) (bool, any) {
			return stepLease(state.(leaseState), asLease(in).op, out.(leaseOut)) //nolint:forcetypeassert,errcheck // nothing else is recorded
		},
		DescribeOperation: func(in, out any) string {
			return fmt.Sprintf("%s %s -> %+v", asLease(in).op, asLease(in).id, out)
		},
		DescribeState: func(state any) string { return fmt.Sprintf("%+v", state) },
	}
}

func asLease(in any) leaseIn { return in.(leaseIn) } //nolint:forcetypeassert,errcheck // nothing else is recorded

// stepLease says whether a lease could answer like that, and what it is then. A lease ends by
// itself too: whoever first hears of that moves the model.
func stepLease(s leaseState, op leaseOp, out leaseOut) (bool, leaseState) {
	exists := s.state != ""
	if !out.known {
		return exists, guess(s, op)
	}
	switch op {
	case granted:
		return !exists, out.leaseState
	case renewed:
		next := leaseState{out.state, s.generation + 1, s.epoch}
		return exists && s.state.Usable() && reaches(s.state, out.state) && out.leaseState == next, next
	case ended:
		same := out.generation == s.generation && out.epoch == s.epoch
		return exists && same && out.state != api.LeaseActive && reaches(s.state, out.state), out.leaseState
	case read:
		if !exists || out.state == "" {
			return !exists && out.state == "", s
		}
		same := out.generation == s.generation && out.epoch == s.epoch
		return same && reaches(s.state, out.state), out.leaseState
	}
	return false, s
}

// guess is what an operation without an answer did, where it did something.
func guess(s leaseState, op leaseOp) leaseState {
	switch {
	case !s.state.Usable():
	case op == renewed:
		s.generation++
	case op == ended:
		s.state = api.LeaseForcedTeardown
	}
	return s
}

// reaches reports whether a lease that was in state a can be in state b now or later.
func reaches(a, b api.LeaseState) bool {
	if a == b {
		return true
	}
	for _, next := range api.LeaseStates() {
		if a.CanBecome(next) && reaches(next, b) {
			return true
		}
	}
	return false
}

// partition groups operations by a key, in the order in which the keys first come.
func partition(ops []porcupine.Operation, key func(in any) string) [][]porcupine.Operation {
	at := map[string]int{}
	var parts [][]porcupine.Operation
	for _, op := range ops {
		k := key(op.Input)
		i, known := at[k]
		if !known {
			i = len(parts)
			at[k] = i
			parts = append(parts, nil)
		}
		parts[i] = append(parts[i], op)
	}
	return parts
}
