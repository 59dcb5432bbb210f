package cellagent

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/cellagent/work"
)

// fenced has the schedulers show the fences that they know of, and lifts those that are not named.
func (b *bench) fenced(ids ...api.LeaseID) {
	b.cluster.change(func() {
		b.cluster.tellFences, b.cluster.fenced = true, nil
		for _, id := range ids {
			b.cluster.fenced = append(b.cluster.fenced, b.cluster.leases[id])
		}
	})
	pass(time.Second)
}

func (b *bench) mustBe(id string, want api.LeaseState) {
	b.t.Helper()
	if l := b.cluster.lease(api.LeaseID(id)); l.State != want {
		b.t.Fatalf("lease %s is %s (%s), want %s", id, l.State, l.Reason, want)
	}
}

// stubborn is a teardown that fails, or hangs whatever ctx says, until it is let go.
type stubborn struct {
	mu    sync.Mutex
	err   error
	hang  chan struct{}
	tries int
	most  int // at one time
	now   int
}

func (s *stubborn) close(context.Context, api.LeaseID) error {
	s.mu.Lock()
	s.tries++
	s.now++
	s.most = max(s.most, s.now)
	hang, err := s.hang, s.err
	s.mu.Unlock()
	if hang != nil {
		<-hang
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now--
	return err
}

func (s *stubborn) be(err error, hang chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err, s.hang, s.tries, s.most = err, hang, 0, 0
}

func (s *stubborn) counts() (tries, most int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.tries, s.most
}

// TestFailedLiftIsTriedAgain with the next set, whatever that is about.
func TestFailedLiftIsTriedAgain(t *testing.T) {
	inBubble(t, func(b *bench) {
		var s stubborn
		s.be(errors.New("it does not go away"), nil)
		b.host.onClose = s.close
		b.grant("l1", 2*time.Second)
		pass(4 * time.Second)
		b.mustBe("l1", api.LeaseFenced)
		b.fenced("l1")
		b.fenced()
		if !b.host.bound("l1") {
			b.t.Fatal("what does not go away is gone")
		}
		hint := func() string {
			_, _, err := b.agent.keeper.usable("l1")
			return api.Problem(err).Hint
		}
		if !strings.Contains(hint(), "unfence-lease l1") {
			b.t.Errorf("use of a fenced lease: hint %q", hint())
		}
		b.cluster.change(func() { b.cluster.tellFences = false })
		s.be(nil, nil)
		b.grant("l2", time.Minute)
		pass(time.Second)
		if b.host.bound("l1") || !b.host.bound("l2") {
			b.t.Errorf("held are %v, want l2 alone", b.held())
		}
		if !strings.Contains(hint(), "grafos lease request") {
			b.t.Errorf("use of one whose fence was lifted: hint %q", hint())
		}
	})
}

// TestLiftThatHangs holds up no set, and is not begun again before it has ended.
func TestLiftThatHangs(t *testing.T) {
	inBubble(t, func(b *bench) {
		var s stubborn
		s.be(errors.New("it does not go away"), nil)
		b.host.onClose = func(ctx context.Context, id api.LeaseID) error {
			if id != "l1" {
				return nil
			}
			return s.close(ctx, id)
		}
		b.grant("l1", 2*time.Second)
		pass(4 * time.Second)
		b.fenced("l1")
		hang := make(chan struct{})
		s.be(nil, hang)
		b.fenced()
		l := b.grant("l2", time.Minute)
		pass(time.Second)
		if !b.host.bound("l2") {
			b.t.Error("nothing is bound beside it")
		}
		l.State, l.Reason = api.LeaseForcedTeardown, "revoked"
		b.cluster.put(l)
		pass(time.Second)
		if b.host.bound("l2") {
			b.t.Error("no revocation is heard beside it")
		}
		if tries, most := s.counts(); tries != 1 || most != 1 || !b.host.bound("l1") {
			b.t.Errorf("%d tries, %d at one time, held are %v", tries, most, b.held())
		}
		close(hang)
		pass(time.Second)
		if b.host.bound("l1") {
			b.t.Error("it is still there")
		}
	})
}

// TestFenceOfWhatWasNotClosed: an opening that does not end in time is fenced. It is torn down when that is
// lifted and it has ended, not before.
func TestFenceOfWhatWasNotClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.host.slow = 20 * time.Second
		b.start()
		defer b.close()
		b.grant("l1", 2*time.Second)
		pass(4 * time.Second)
		b.mustBe("l1", api.LeaseFenced)
		b.fenced("l1")
		b.fenced()
		if _, lifts := b.host.counts(); lifts != 0 {
			t.Errorf("it was lifted %d times while it was opened", lifts)
		}
		pass(20 * time.Second)
		b.fenced()
		if binds, _ := b.host.counts(); binds != 1 || b.host.bound("l1") {
			t.Errorf("opened %d times, what was fenced is given back: %t", binds, !b.host.bound("l1"))
		}
	})
}

// TestNoLiftBesideAWorker: what a worker that does not end may still use is not given back.
func TestNoLiftBesideAWorker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		end := make(chan struct{})
		b.runner.do = func(context.Context, work.Job) work.Outcome {
			<-end
			return work.Outcome{State: api.RunSucceeded}
		}
		b.start()
		defer b.close()
		b.place("r1", 2*time.Second)
		pass(4 * time.Second)
		held := b.held()
		b.fenced(held...)
		b.fenced()
		if len(held) == 0 || len(b.held()) != len(held) {
			t.Fatalf("held are %v, were %v, beside a worker", b.held(), held)
		}
		close(end)
		pass(time.Second)
		b.fenced()
		if got := b.held(); len(got) != 0 {
			t.Errorf("held are %v", got)
		}
	})
}
