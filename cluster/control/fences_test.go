package control

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/fsm"
)

// TestWatchTellsFences: a cell hears which of its fences stand, at the beginning and whenever that
// may have changed, and the newest numbers that were given.
func TestWatchTellsFences(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		epoch := r.cell("c1")
		r.grant()
		s := r.watch("c1", api.WatchRequest{Epoch: epoch, NoEcho: true})
		d, ok := s.next()
		if !ok || !d.Fences || len(d.Fenced) != 0 || d.Epoch != 1 || d.ClusterEpoch != 0 {
			t.Fatalf("the first set is %+v", d)
		}
		l, _ := r.c.cfg.Machine.View().Lease("l-1-cpu")
		r.must(fsm.ReportCell{Cell: "c1", Epoch: epoch, Ended: []api.EndedReport{{LeaseID: l.ID, Epoch: l.Epoch, State: api.LeaseFenced, Reason: "stuck"}}})
		if d, ok = s.next(); !ok || !d.Fences || ids(d.Fenced) != "l-1-cpu fenced;" || d.Full {
			t.Errorf("after a fence: %+v", d)
		}
		r.grant()
		if d, ok = s.next(); !ok || d.Fences || d.Epoch != 2 {
			t.Errorf("after a grant: %+v", d)
		}
		s.close(t)
		s = r.watch("c1", api.WatchRequest{Epoch: epoch, NoEcho: true})
		defer s.close(t)
		if d, ok = s.next(); !ok || !d.Full || !d.Fences || ids(d.Fenced) != "l-1-cpu fenced;" {
			t.Errorf("a new session begins with %+v", d)
		}
		r.must(fsm.RaiseLevel{Level: 2})
		r.pass(time.Duration(fsm.MaxStep))
		r.must(fsm.UnfenceLease{Actor: "operator/root", Lease: l.ID})
		if d, ok = s.next(); !ok || !d.Fences || len(d.Fenced) != 0 {
			t.Errorf("after it was lifted: %+v", d)
		}
	})
}

// TestFencedIsExplained: whoever uses a fenced lease hears what that is, and who can do what about it.
func TestFencedIsExplained(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		epoch := r.cell("c1")
		r.grant()
		l, _ := r.c.cfg.Machine.View().Lease("l-1-cpu")
		r.must(fsm.ReportCell{Cell: "c1", Epoch: epoch, Ended: []api.EndedReport{{LeaseID: l.ID, Epoch: l.Epoch, State: api.LeaseFenced, Reason: "stuck"}}})
		ctx := api.WithCaller(t.Context(), api.Caller{Role: api.RoleOperator, Name: "root"})
		_, token := r.c.LeaseToken(ctx, l.ID, api.WriteOptions{})
		_, data := r.c.LeaseData(ctx, api.DataRequest{Lease: l.ID, Length: 1})
		for what, err := range map[string]error{"token": token, "data": data} {
			if p := api.Problem(err); api.KindOf(err) != api.LeaseFencedKind || !strings.Contains(p.Hint, "grafos admin unfence-lease l-1-cpu") {
				t.Errorf("%s: %v, hint %q", what, err, p.Hint)
			}
		}
		r.must(fsm.RaiseLevel{Level: 2})
		r.pass(time.Duration(fsm.MaxStep))
		r.must(fsm.UnfenceLease{Actor: "operator/root", Lease: l.ID})
		if _, err := r.c.LeaseToken(ctx, l.ID, api.WriteOptions{}); !strings.Contains(api.Problem(err).Hint, "grafos lease request") {
			t.Errorf("after it was lifted: %v, hint %q", err, api.Problem(err).Hint)
		}
	})
}

// TestRegisterTellsNumbers: an agent learns what was given before its registration.
func TestRegisterTellsNumbers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.cell("c1")
		r.grant()
		r.must(fsm.Recovered{ID: "rec-1", Actor: "operator/root", Node: "s1"})
		a, err := r.c.Register(api.WithCaller(t.Context(), api.Caller{Role: api.RoleCell, Provider: "aws", Cell: "c1", SPKI: "k", Serial: "1", NotAfter: time.Now().Add(time.Hour)}),
			api.RegisterRequest{Provider: "aws", CellID: "c1", Agent: "a2", BrokerKey: "k2", Version: "v"})
		if err != nil || a.Fence != 1+1<<32 || a.ClusterEpoch != 1 {
			t.Errorf("registered: %+v, %v", a, err)
		}
	})
}
