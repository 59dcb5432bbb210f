package control

import (
	"context"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/fsm"
)

// stream is a watch being read.
type stream struct {
	cancel   context.CancelFunc
	messages chan api.Desired
	end      chan error // of the session; nil when the cell ended it
}

func (r *rig) watch(cell api.CellID, q api.WatchRequest) *stream {
	ctx, cancel := context.WithCancel(r.t.Context())
	s := &stream{cancel: cancel, messages: make(chan api.Desired, 64), end: make(chan error, 1)}
	go func() {
		for d, err := range r.c.Watch(ctx, "aws", cell, q) {
			if err != nil {
				s.end <- err
				return
			}
			s.messages <- d
		}
		s.end <- nil
	}()
	synctest.Wait()
	return s
}

// next is the message that is there; ok is false when there is none.
func (s *stream) next() (d api.Desired, ok bool) {
	synctest.Wait()
	select {
	case d := <-s.messages:
		return d, true
	default:
		return d, false
	}
}

func (s *stream) close(t *testing.T) {
	t.Helper()
	s.cancel()
	if err := <-s.end; err != nil {
		t.Errorf("the session ended with %v", err)
	}
}

func ids(leases []api.Lease) string {
	var out strings.Builder
	for _, l := range leases {
		out.WriteString(string(l.ID) + " " + string(l.State) + ";")
	}
	return out.String()
}

// TestWatch: the whole set first, then what changed, at an index that never falls.
func TestWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		epoch := r.cell("c1")
		r.cell("c2")
		r.grant()
		s := r.watch("c1", api.WatchRequest{Epoch: epoch})
		defer s.close(t)
		d, ok := s.next()
		if !ok || !d.Full || ids(d.Leases) != "l-1-cpu active;" || !slices.Equal(d.Schedulers, []string{"https://s1"}) {
			t.Fatalf("got %+v", d)
		}
		if r.c.sessions.count() != 1 {
			t.Errorf("%d sessions", r.c.sessions.count())
		}
		r.grant()
		last := d.Index
		d, ok = s.next()
		if !ok || d.Full || ids(d.Leases) != "l-2-cpu active;" || d.Index <= last || d.Schedulers != nil {
			t.Errorf("got %+v", d)
		}
		r.must(fsm.FreeLease{Actor: "tenant/acme", Lease: "l-1-cpu", Reason: fsm.ReasonReleased})
		if d, ok = s.next(); !ok || ids(d.Leases) != "l-1-cpu forced_teardown;" {
			t.Errorf("got %+v", d)
		}
		r.must(fsm.SetQuota{Actor: "operator/root", Tenant: "acme", Quota: api.NoQuota()})
		time.Sleep(2 * touchCheck)
		if d, ok = s.next(); ok {
			t.Errorf("got %+v for nothing of the cell", d)
		}
		if !r.c.sessions.ask("c1", api.Ask{ID: "q1"}) {
			t.Fatal("no session to ask")
		}
		if d, ok = s.next(); !ok || len(d.Asks) != 1 || d.Asks[0].ID != "q1" {
			t.Errorf("got %+v", d)
		}
		if d.Index != last && d.Index < last {
			t.Errorf("index %d after %d", d.Index, last)
		}
	})
}

// TestNoEcho: an agent that says so is not told of the ends that it reported, and of all others; an
// agent that does not is told of all.
func TestNoEcho(t *testing.T) {
	for _, noEcho := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t)
			epoch := r.cell("c1")
			r.grant()
			r.grant()
			s := r.watch("c1", api.WatchRequest{Epoch: epoch, NoEcho: noEcho})
			defer s.close(t)
			if d, ok := s.next(); !ok || !d.Full {
				t.Fatalf("got %+v", d)
			}
			l, _ := r.c.cfg.Machine.View().Lease("l-1-cpu")
			r.must(fsm.ReportCell{Cell: "c1", Epoch: epoch, Ended: []api.EndedReport{{LeaseID: l.ID, Epoch: l.Epoch, State: api.LeaseTornDown, Reason: "expired"}}})
			if d, ok := s.next(); ok == noEcho || ok && ids(d.Leases) != "l-1-cpu torndown;" {
				t.Errorf("no echo %t: got %+v for what the cell said itself", noEcho, d)
			}
			r.must(fsm.FreeLease{Actor: "tenant/acme", Lease: "l-2-cpu", Reason: fsm.ReasonReleased})
			if d, ok := s.next(); !ok || ids(d.Leases) != "l-2-cpu forced_teardown;" {
				t.Errorf("no echo %t: got %+v for what somebody else ended", noEcho, d)
			}
		})
	}
}

// grant makes one lease of acme on the first cell.
func (r *rig) grant() {
	r.t.Helper()
	_, err := r.Admit(r.t.Context(), fsm.GrantLeases{
		Actor: "tenant/acme", Tenant: "acme", Provider: "aws", Priority: api.PriorityStandard, TTLMs: 60_000,
		Items: []fsm.GrantItem{{Kind: api.KindCPU, Amount: 1}},
	})
	if err != nil {
		r.t.Fatal(err)
	}
}

// TestWatchEnds lists what ends a session, and how.
func TestWatchEnds(t *testing.T) {
	tests := []struct {
		name string
		do   func(r *rig)
		kind api.Kind
	}{
		{"another agent registered", func(r *rig) { r.register("c1", "agent-2") }, api.StaleEpoch},
		{"revoked", func(r *rig) {
			r.must(fsm.RevokeCell{Actor: "operator/root", Provider: "aws", Cell: "c1", Now: true})
		}, api.IdentityRevoked},
		{"out of touch", func(r *rig) { r.set(func() { r.touch = outOfTouch + time.Second }) }, api.NoLeader},
	}
	for _, tt := range tests {
		for _, standby := range []bool{false, true} {
			if standby && tt.kind == api.StaleEpoch {
				continue
			}
			t.Run(tt.name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					r := newRig(t)
					s := r.watch("c1", api.WatchRequest{Epoch: r.cell("c1"), Standby: standby})
					if _, ok := s.next(); !ok {
						t.Fatal("no first message")
					}
					tt.do(r)
					r.wantKind("end", <-s.end, tt.kind)
					if n := r.c.sessions.count(); n != 0 {
						t.Errorf("%d sessions", n)
					}
					s.cancel()
				})
			})
		}
	}
}

// TestWatchRefused lists what is not served.
func TestWatchRefused(t *testing.T) {
	tests := []struct {
		name    string
		prepare func(r *rig)
		cell    api.CellID
		request api.WatchRequest
		kind    api.Kind
	}{
		{"unknown cell", nil, "c9", api.WatchRequest{Epoch: 1}, api.NotFound},
		{"old epoch", func(r *rig) { r.register("c1", "agent-2") }, "c1", api.WatchRequest{Epoch: 1}, api.StaleEpoch},
		{"epoch of the future", nil, "c1", api.WatchRequest{Epoch: 9}, api.StaleEpoch},
		{"behind what the cell has seen", nil, "c1", api.WatchRequest{Epoch: 1, After: 1 << 40}, api.NoLeader},
		{"out of touch", func(r *rig) { r.touch = outOfTouch + 1 }, "c1", api.WatchRequest{Epoch: 1}, api.NoLeader},
		{"revoked", func(r *rig) {
			r.must(fsm.RevokeCell{Actor: "operator/root", Provider: "aws", Cell: "c1", Now: true})
		}, "c1", api.WatchRequest{Epoch: 1}, api.IdentityRevoked},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t)
				r.cell("c1")
				if tt.prepare != nil {
					tt.prepare(r)
				}
				s := r.watch(tt.cell, tt.request)
				r.wantKind("watch", <-s.end, tt.kind)
				s.cancel()
			})
		})
	}
}

// TestSessionReplaced: the newer one stays, and when it goes the cell has none.
func TestSessionReplaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		epoch := r.cell("c1")
		old := r.watch("c1", api.WatchRequest{Epoch: epoch})
		now := r.watch("c1", api.WatchRequest{Epoch: epoch})
		r.wantKind("the old one", <-old.end, api.Conflict)
		old.cancel()
		if r.c.sessions.count() != 1 || !r.c.sessions.ask("c1", api.Ask{ID: "q"}) {
			t.Error("the new one is gone too")
		}
		if s, _ := r.c.cfg.Sightings.Best("c1", epoch); !s.Session {
			t.Error("no session is seen")
		}
		now.close(t)
		if s, _ := r.c.cfg.Sightings.Best("c1", epoch); s.Session {
			t.Error("a session that ended is still seen")
		}
		if r.c.sessions.ask("c1", api.Ask{ID: "q"}) {
			t.Error("nobody was asked")
		}
		r.wantKind("ask", r.c.AskCell(t.Context(), "c1", api.Ask{}), api.NotFound)
	})
}

// TestAsksBounded: a cell that does not read is not asked for ever.
func TestAsksBounded(t *testing.T) {
	s := newSessions()
	s.add("c1")
	for range maxAsks {
		if !s.ask("c1", api.Ask{}) {
			t.Fatal("refused too early")
		}
	}
	if s.ask("c1", api.Ask{}) {
		t.Error("more than the bound")
	}
}

// TestWatchSaysNothingBack: a cell is not told that it bound a lease, which is what it said
// itself; it is told everything that comes after, and a new session begins with all of it.
func TestWatchSaysNothingBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		epoch := r.cell("c1")
		s := r.watch("c1", api.WatchRequest{Epoch: epoch})
		s.next()
		r.grant()
		if d, ok := s.next(); !ok || ids(d.Leases) != "l-1-cpu active;" {
			t.Fatalf("the grant: %v, %+v", ok, d)
		}
		r.bind(r.lease("l-1-cpu"), canary)
		if d, ok := s.next(); ok {
			t.Fatalf("the cell is told what it said: %+v", d)
		}
		again := r.watch("c1", api.WatchRequest{Epoch: epoch})
		r.wantKind("the session before", <-s.end, api.Conflict)
		if d, ok := again.next(); !ok || !d.Full || ids(d.Leases) != "l-1-cpu active;" {
			t.Errorf("the new session: %v, %+v", ok, d)
		}
		r.beat("c1", epoch, 1)
		r.must(fsm.RenewLease{Actor: "tenant/acme", Lease: "l-1-cpu", TTLMs: 60_000, Stamp: r.lease("l-1-cpu").Stamp})
		if d, ok := again.next(); !ok || ids(d.Leases) != "l-1-cpu active;" || d.Leases[0].Generation != 2 {
			t.Errorf("the renewal: %v, %+v", ok, d)
		}
		r.must(fsm.FreeLease{Actor: "tenant/acme", Lease: "l-1-cpu", Reason: "released"})
		if d, ok := again.next(); !ok || ids(d.Leases) != "l-1-cpu forced_teardown;" {
			t.Errorf("the end: %v, %+v", ok, d)
		}
		again.close(t)
	})
}

// TestOpeningWaitsForNobodyElse: sessions that wait for a state which this node does not have yet keep nobody
// from opening, and neither do those whose cells do not read what they are told.
func TestOpeningWaitsForNobodyElse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		epoch := r.cell("c1")
		for range 2 * openings() {
			s := r.watch("c1", api.WatchRequest{Epoch: epoch, After: 1 << 60})
			defer s.close(t)
		}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		for range openings() {
			go func() {
				for _, err := range r.c.Watch(ctx, "aws", "c1", api.WatchRequest{Epoch: epoch, Standby: true}) {
					if err != nil {
						return
					}
					<-ctx.Done() // it does not read
				}
			}()
		}
		synctest.Wait()
		began := time.Now()
		s := r.watch("c1", api.WatchRequest{Epoch: epoch})
		defer s.close(t)
		time.Sleep(openingTime)
		if _, ok := s.next(); !ok || time.Since(began) > openingTime {
			t.Errorf("not opened within %s (%v)", openingTime, ok)
		}
	})
}

// TestOpeningWaitsForALeader: a session that comes while this node has not heard a leader is opened when it hears
// one, and refused when that takes too long.
func TestOpeningWaitsForALeader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		epoch := r.cell("c1")
		r.set(func() { r.touch = outOfTouch + time.Second })
		s := r.watch("c1", api.WatchRequest{Epoch: epoch})
		time.Sleep(electionTime / 2)
		r.set(func() { r.touch = 0 })
		time.Sleep(touchCheck)
		if _, ok := s.next(); !ok {
			t.Error("not opened although the leader is heard again")
		}
		s.close(t)
		r.set(func() { r.touch = outOfTouch + time.Second })
		late := r.watch("c1", api.WatchRequest{Epoch: epoch})
		time.Sleep(electionTime + touchCheck)
		r.wantKind("no leader", <-late.end, api.NoLeader)
	})
}
