package cellagent

import (
	"context"

	"github.com/grafos/grafos/api"
)

// bell rings for whoever waits, and remembers one ring for whoever comes.
type bell chan struct{}

func (b bell) ring() {
	select {
	case b <- struct{}{}:
	default:
	}
}

// refresh moves the sessions to connections that show the cell's new certificate: a new standby
// first, which becomes the active one when it is there, so that the cell is never without. Where there
// is no other scheduler, the active one is opened again.
func (s *sessions) refresh(ctx context.Context) {
	if s.standby != nil {
		was := s.standby
		s.standby = nil
		s.drop(was)
	}
	if s.active == nil {
		return // what is opened next shows it
	}
	if !s.active.live {
		s.active.cancel()
		s.lost(ctx)
		return
	}
	s.stale = s.active
	s.warm(ctx)
	if s.standby == nil {
		s.openAgain(ctx)
	}
}

// takeOver puts the standby in the place of the active session, which has ended nothing yet.
func (s *sessions) takeOver(ctx context.Context) {
	was := s.active
	s.stale = nil
	s.promote(ctx)
	s.drop(was)
}

// openAgain opens the active session at its scheduler over a new connection. The scheduler ends the
// one before.
func (s *sessions) openAgain(ctx context.Context) {
	was := s.active
	fabric, err := s.dial([]string{was.url}, reportBoundMost, api.SessionPing(s.spread()))
	if err != nil {
		s.log.Error("scheduler address cannot be used", "scheduler", was.url, "error", err)
		return // it goes on as long as its certificate
	}
	s.stale, s.active = nil, nil
	s.beacon.show(nil)
	s.begin(ctx, &link{url: was.url, fabric: fabric}, openBound)
	s.drop(was)
}
