package cellagent

import (
	"context"
	"fmt"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/hashicorp/go-hclog"

	"github.com/grafos/grafos/api"
)

const (
	// openBound is how long a session may take to deliver its first message, warmBound the same over the connection
	// of a standby, which is known to be there: with the sessions of a large fleet a scheduler opens one after the
	// other, and who gives such a connection up needs a handshake. What a cell was granted meanwhile must be bound
	// within api.BindBound by a third scheduler's word.
	openBound = 2 * time.Second
	warmBound = 3 * time.Second
	// steadyAfter is how long a session must have lasted for its end to be no reason to wait.
	steadyAfter = 5 * time.Second
	// retryFirst and retryMost are the first and the longest wait between two attempts.
	retryFirst = 100 * time.Millisecond
	retryMost  = 3 * time.Second
)

// sessions keeps one active session and one warm standby at another scheduler. All of its
// state belongs to the goroutine in run.
type sessions struct {
	watcher *watcher
	roster  *roster
	beacon  *beacon
	dial    Dialer
	// take applies a message of the active session, or says why that session is not to be listened
	// to; seen is the highest index it has applied.
	take func(api.Desired) error
	seen func() uint64
	// failed brings what the reporter found out about the session that it reported on.
	failed chan sessionError
	// spread is the heartbeat interval, which tells how large the fleet is, and place this cell's in it:
	// when a scheduler ends, half of a fleet wants a standby at the others.
	spread func() time.Duration
	place  float64
	// renewed rings when the cell has another certificate than its sessions have shown.
	renewed bell
	log     hclog.Logger

	epoch   uint64
	active  *watch
	standby *watch
	// stale is the active session of a certificate that was renewed: the next standby replaces it.
	stale *watch
	// avoid is the address that failed last.
	avoid string
	// tries counts the sessions that were lost since one was steady.
	tries       int
	retry       *backoff.ExponentialBackOff
	standbyWait *backoff.ExponentialBackOff
	reopen      *time.Timer // to open an active session again
	rewarm      *time.Timer // to open a standby again
	opening     *time.Timer // bounds the opening of the active session
}

// sessionError is what a report on a session failed with.
type sessionError struct {
	watch *watch
	err   error
}

// fatal returns the error that ends all sessions of this registration, if err is one.
func fatal(err error) error {
	switch api.KindOf(err) { //nolint:exhaustive // every other kind passes
	case api.StaleEpoch, api.IdentityRevoked, api.IdentityMismatch:
		return err
	}
	return nil
}

func newRetry() *backoff.ExponentialBackOff {
	b := backoff.NewExponentialBackOff()
	b.InitialInterval, b.MaxInterval, b.RandomizationFactor, b.Multiplier = retryFirst, retryMost, 0.5, 2
	b.Reset()
	return b
}

// idleTimer returns a timer that has not been started.
func idleTimer() *time.Timer {
	t := time.NewTimer(time.Hour)
	t.Stop()
	return t
}

// run holds sessions under one registration until ctx ends, or until a scheduler says that
// the registration or the identity is not valid any more; that is its error.
func (s *sessions) run(ctx context.Context, epoch uint64) error {
	ctx, cancel := context.WithCancel(ctx)
	defer s.end(cancel)
	s.epoch, s.active, s.standby, s.stale = epoch, nil, nil, nil
	s.retry, s.standbyWait, s.tries = newRetry(), newRetry(), 0
	s.reopen, s.rewarm, s.opening = idleTimer(), idleTimer(), idleTimer()
	s.connect(ctx)
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case n := <-s.watcher.news:
			if err := s.hear(ctx, n); err != nil {
				return err
			}
		case f := <-s.failed:
			if err := fatal(f.err); err != nil {
				return err
			}
			if f.watch == s.active && f.watch != nil {
				s.log.Warn("reports fail, changing the scheduler", "scheduler", f.watch.url, "error", f.err)
				f.watch.cancel()
				s.lost(ctx)
			}
		case <-s.opening.C:
			if s.active != nil && !s.active.live {
				s.log.Warn("scheduler does not open a session in time", "scheduler", s.active.url)
				s.active.cancel()
				s.lost(ctx)
			}
		case <-s.renewed:
			s.refresh(ctx)
		case <-s.reopen.C:
			s.connect(ctx)
		case <-s.rewarm.C:
			s.warm(ctx)
		}
	}
}

// end drops both sessions and waits for what they started.
func (s *sessions) end(cancel context.CancelFunc) {
	s.beacon.show(nil)
	cancel()
	for _, w := range []*watch{s.active, s.standby} {
		if w != nil {
			s.drop(w)
		}
	}
	s.watcher.wg.Wait()
	for _, t := range []*time.Timer{s.reopen, s.rewarm, s.opening} {
		t.Stop()
	}
}

// hear handles news of a session; those of one that was dropped are ignored.
func (s *sessions) hear(ctx context.Context, n news) error {
	if n.watch != s.active && n.watch != s.standby {
		return nil
	}
	if n.ended {
		if err := fatal(n.err); err != nil {
			return fmt.Errorf("watch at %s: %w", n.watch.url, err)
		}
		s.log.Info("session ended", "scheduler", n.watch.url, "standby", n.watch.standby, "error", n.err)
		if n.watch == s.active {
			s.lost(ctx)
		} else {
			s.cool(n.watch)
		}
		return nil
	}
	first := !n.watch.live
	n.watch.live = true
	changed := s.roster.learn(n.set.Schedulers)
	if n.watch == s.active {
		if first {
			s.opening.Stop()
			s.beacon.show(s.active)
			s.log.Info("session opened", "scheduler", s.active.url, "index", n.set.Index)
		}
		if err := s.take(n.set); err != nil {
			s.log.Error("what the scheduler says is refused, changing to another", "scheduler", s.active.url, "error", err)
			s.active.cancel()
			s.lost(ctx)
			return nil
		}
	} else if s.stale != nil && s.stale == s.active {
		s.takeOver(ctx)
	}
	if first || changed {
		s.warm(ctx)
	}
	return nil
}

// connect opens an active session at the next scheduler, unless there is one.
func (s *sessions) connect(ctx context.Context) {
	if s.active != nil {
		return
	}
	url, ok := s.roster.after(s.avoid, s.avoid, false)
	if !ok {
		url = s.avoid // there is no other
	}
	if s.standby != nil && s.standby.url == url {
		// Its standby has not answered yet; it gets its chance as the active one.
		s.promote(ctx)
		return
	}
	fabric, err := s.dial([]string{url}, reportBoundMost, api.SessionPing(s.spread()))
	if err != nil {
		s.log.Error("scheduler address cannot be used", "scheduler", url, "error", err)
		s.avoid = url
		s.reopen.Reset(s.retry.NextBackOff())
		return
	}
	s.begin(ctx, &link{url: url, fabric: fabric}, openBound)
}

func (s *sessions) begin(ctx context.Context, l *link, within time.Duration) {
	s.active = s.watcher.open(ctx, l, api.WatchRequest{Epoch: s.epoch, After: s.seen(), NoEcho: true})
	s.opening.Reset(within)
}

// lost is what happens when the active session is gone: the standby takes its place at once.
// Without one, the first attempt at every other scheduler is made at once too, and each round
// of all of them is followed by a longer wait.
func (s *sessions) lost(ctx context.Context) {
	was := s.active
	s.active = nil
	s.opening.Stop()
	s.beacon.show(nil)
	s.avoid = was.url
	s.drop(was)
	if was.live && time.Duration(s.watcher.clock.Now()-was.began) >= steadyAfter {
		s.retry.Reset()
		s.tries = 0
	}
	s.tries++
	switch {
	case s.standby != nil:
		s.promote(ctx)
	case s.tries == 1 || s.tries%len(s.roster.all()) != 0:
		s.connect(ctx)
	default:
		s.reopen.Reset(s.retry.NextBackOff())
	}
}

// promote opens the active session on the standby's link.
func (s *sessions) promote(ctx context.Context) {
	warm := s.standby
	s.standby = nil
	within := openBound
	if warm.live {
		within = warmBound
	}
	s.begin(ctx, warm.link, within)
	if warm.live {
		s.beacon.show(s.active) // it is known to be there: reports need not wait for its first message
	}
	warm.cancel()
	s.rewarm.Reset(s.standbyPause())
	s.log.Info("standby promoted", "scheduler", warm.url)
}

// warm opens a standby at another scheduler than the active one, where there is none.
func (s *sessions) warm(ctx context.Context) {
	if s.standby != nil {
		if s.standby.live && time.Duration(s.watcher.clock.Now()-s.standby.began) >= steadyAfter {
			s.standbyWait.Reset()
		}
		return
	}
	if s.active == nil || !s.active.live {
		return
	}
	url, ok := s.roster.after(s.avoid, s.active.url, true)
	if !ok {
		return
	}
	fabric, err := s.dial([]string{url}, reportBoundMost, api.SessionPing(s.spread()))
	if err != nil {
		s.log.Error("scheduler address cannot be used", "scheduler", url, "error", err)
		s.avoid = url
		s.rewarm.Reset(s.standbyWait.NextBackOff())
		return
	}
	s.rewarm.Stop()
	s.standby = s.watcher.open(ctx, &link{url: url, fabric: fabric},
		api.WatchRequest{Epoch: s.epoch, After: s.seen(), Standby: true, NoEcho: true})
}

// cool is what happens when the standby is gone: another is opened after a while.
func (s *sessions) cool(was *watch) {
	s.standby = nil
	s.avoid = was.url
	s.drop(was)
	s.rewarm.Reset(s.standbyPause())
}

// standbyPause is for how long there is no standby after one is gone.
func (s *sessions) standbyPause() time.Duration {
	return s.standbyWait.NextBackOff() + time.Duration(s.place*api.StandbyBeats*float64(s.spread()))
}

// drop ends a session and closes its link.
func (s *sessions) drop(w *watch) {
	w.cancel()
	if err := w.fabric.Close(); err != nil {
		s.log.Debug("close connection", "scheduler", w.url, "error", err)
	}
}
