package api

import "testing"

// TestLeaseTransitions holds the table against the picture of the protocol.
func TestLeaseTransitions(t *testing.T) {
	ends := []LeaseState{LeaseTornDown, LeaseFenced, LeaseFailedClosed}
	allowed := map[LeaseState][]LeaseState{
		LeaseActive:         {LeaseRevokeWarning, LeaseForcedTeardown, LeaseExpired},
		LeaseRevokeWarning:  {LeaseGraceRunning, LeaseForcedTeardown, LeaseExpired},
		LeaseGraceRunning:   {LeaseCheckpoint, LeaseForcedTeardown, LeaseExpired},
		LeaseCheckpoint:     append([]LeaseState{LeaseForcedTeardown, LeaseExpired}, ends...),
		LeaseForcedTeardown: ends,
		LeaseExpired:        append([]LeaseState{LeaseForcedTeardown}, ends...),
	}
	for _, from := range LeaseStates() {
		can := map[LeaseState]bool{}
		for _, to := range allowed[from] {
			can[to] = true
		}
		for _, to := range LeaseStates() {
			if got := from.CanBecome(to); got != can[to] {
				t.Errorf("%s -> %s: %v, want %v", from, to, got, can[to])
			}
		}
		if from.Terminal() != (len(allowed[from]) == 0) {
			t.Errorf("%s: terminal is %v", from, from.Terminal())
		}
		if from.Usable() && from.Terminal() {
			t.Errorf("%s is usable and has ended", from)
		}
		l := Lease{State: from}
		if l.Occupies() != (!from.Terminal() || from == LeaseFenced) || l.Fenced() != (from == LeaseFenced) {
			t.Errorf("%s: occupies is %v, fenced %v", from, l.Occupies(), l.Fenced())
		}
		if l.Unfenced = 1; l.Occupies() == from.Terminal() || l.Fenced() {
			t.Errorf("%s, its fence cleared: occupies is %v, fenced %v", from, l.Occupies(), l.Fenced())
		}
	}
	if LeaseState("made up").CanBecome(LeaseActive) || LeaseActive.CanBecome("made up") {
		t.Error("a state that does not exist takes part")
	}
}

// TestRunTransitions: forward only, a result never changes (L8); the way back is a retry.
func TestRunTransitions(t *testing.T) {
	states := []RunState{RunAdmitted, RunPlaced, RunRunning, RunSucceeded, RunFailed, RunExpired, RunRevoked, RunLost}
	for _, from := range states {
		for _, to := range states {
			got := from.CanBecome(to)
			if from.Terminal() && got {
				t.Errorf("the result %s became %s", from, to)
			}
			if from == to && got {
				t.Errorf("%s became itself", from)
			}
			if to == RunRunning && got && from != RunPlaced && from != RunAdmitted {
				t.Errorf("%s began to run", from)
			}
		}
	}
	if !RunRunning.CanBecome(RunAdmitted) || !RunPlaced.CanBecome(RunRunning) {
		t.Error("a lost attempt cannot be tried again, or a placed one cannot run")
	}
}

// TestReadiness: all 64 combinations; only all six make a cell ready.
func TestReadiness(t *testing.T) {
	for bits := range 64 {
		on := func(i int) bool { return bits&(1<<i) != 0 }
		r := Readiness{on(0), on(1), on(2), on(3), on(4), on(5)}
		if r.Ready() != (bits == 63) {
			t.Errorf("%06b: ready is %v", bits, r.Ready())
		}
		unmet := r.Unmet()
		for i, q := range Requirements() {
			if r.Met(q) != on(i) {
				t.Errorf("%06b: %s is %v", bits, q, r.Met(q))
			}
		}
		if met := 6 - len(unmet); met != ones(bits) {
			t.Errorf("%06b: %d unmet", bits, len(unmet))
		}
	}
}

func ones(n int) int {
	count := 0
	for ; n > 0; n &= n - 1 {
		count++
	}
	return count
}

// TestKinds: the closed list is whole, each kind once, each with a status and a title.
func TestKinds(t *testing.T) {
	seen := map[Kind]bool{}
	for _, k := range Kinds() {
		if seen[k] {
			t.Errorf("%s stands twice", k)
		}
		seen[k] = true
		if s := k.Status(); s < 400 || s > 599 || s == 500 && k != Internal {
			t.Errorf("%s has status %d", k, s)
		}
		if k.Retryable() && k.Status() != 503 && k.Status() != 429 {
			t.Errorf("%s is retryable with status %d", k, k.Status())
		}
	}
	if Kind("made up").Status() != 500 || Kind("made up").Retryable() {
		t.Error("an unknown kind is an internal fault and not retried")
	}
}

func TestHoldDown(t *testing.T) {
	if got, want := HoldDown(MaxTTL), MaxTTL*DriftPPM/1_000_000+DeliveryBound+TeardownBound; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	l := Lease{TTLMs: 1000, Expires: 5}
	if l.StoppedBy() <= l.Expires+Tick(DeliveryBound) {
		t.Error("a resource is given again before the cell must have stopped (L4)")
	}
}
