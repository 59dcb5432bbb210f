package leader

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/cluster/rumor"
	"github.com/grafos/grafos/fsm"
)

func TestJudge(t *testing.T) {
	wall := time.Unix(1_800_000_000, 0)
	bound := api.Identity{SPKI: "ab", NotAfter: wall.Unix() + 1}
	healthy := &api.CellRecord{Identity: bound, Healthy: met(), Outbound: met()}
	coming := &api.CellRecord{Identity: bound}
	never := rumor.Sight{SessionAge: rumor.Never}
	sight := func(age, steady time.Duration) rumor.Sight {
		return rumor.Sight{Age: age, Steady: steady, Session: true}
	}
	tests := []struct {
		name  string
		facts facts
		want  string // codes of identity, health, session; + is met
	}{
		{"well", facts{rec: healthy, seen: true, sight: sight(time.Second, 0)}, "+ + +"},
		{"at the limit", facts{rec: healthy, seen: true, sight: sight(limit, 0)}, "+ + +"},
		{"over the limit", facts{rec: healthy, seen: true, sight: sight(limit+1, time.Hour)}, "+ heartbeat_overdue +"},
		{"warming", facts{rec: coming, seen: true, sight: sight(0, warmup-1)}, "+ warming_up +"},
		{"warm", facts{rec: coming, seen: true, sight: sight(0, warmup)}, "+ + +"},
		{"stuck", facts{rec: healthy, seen: true, sight: rumor.Sight{Stuck: "the disk", Session: true}}, "+ stuck +"},
		{"a new leader knows nothing yet", facts{rec: healthy, silent: limit}, "+ + +"},
		{"and believes it for one limit", facts{rec: healthy, silent: limit + 1}, "+ heartbeat_overdue no_session"},
		{"registered, never heard", facts{rec: coming, silent: time.Second}, "+  "},
		{"registered, not heard for long", facts{rec: coming, silent: limit + 1}, "+ heartbeat_overdue no_session"},
		{"heard, never a session", facts{rec: coming, seen: true, sight: never}, "+ warming_up no_session"},
		{"session just lost", facts{rec: healthy, seen: true, sight: rumor.Sight{SessionAge: limit}}, "+ + +"},
		{"session just this moment lost", facts{rec: healthy, seen: true, sight: rumor.Sight{}}, "+ + +"},
		{"session lost", facts{rec: healthy, seen: true, sight: rumor.Sight{SessionAge: limit + 1}}, "+ + session_lost"},
		{"no certificate", facts{rec: &api.CellRecord{Healthy: met()}, seen: true, sight: sight(0, 0)}, "no_certificate + +"},
		{"certificate ended", facts{rec: &api.CellRecord{Identity: api.Identity{SPKI: "ab", NotAfter: wall.Unix()}, Healthy: met()}, seen: true, sight: sight(0, 0)}, "certificate_expired + +"},
		{"revoked", facts{rec: &api.CellRecord{Identity: bound, Revoked: true, Healthy: met()}, seen: true, sight: sight(0, 0)}, "identity_revoked identity_revoked identity_revoked"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := tt.facts
			f.limit, f.warmup, f.wall = limit, warmup, wall
			v := judge(f)
			got := fmt.Sprintf("%s %s %s", code(v.identity), code(v.healthy), code(v.outbound))
			if got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
			for _, c := range []api.Condition{v.identity, v.healthy, v.outbound} {
				if !c.Met && c.Code != "" && c.Message == "" {
					t.Errorf("%s without words", c.Code)
				}
			}
		})
	}
}

func code(c api.Condition) string {
	if c.Met {
		return "+"
	}
	return c.Code
}

// TestHeartbeatsStayOutOfTheLog: a fleet that is well commits nothing but time.
func TestHeartbeatsStayOutOfTheLog(t *testing.T) {
	bubble(t, func(r *rig) {
		r.ready("c1", "c2", "c3")
		before := len(commands[fsm.ChangeHealth](r.fakeNode))
		_, _, verified, asked := r.seen()
		r.pass(time.Minute)
		if n := len(commands[fsm.ChangeHealth](r.fakeNode)); n != before {
			r.t.Errorf("%d changes of nothing", n-before)
		}
		if _, _, v, a := r.seen(); v != verified || a != asked {
			r.t.Errorf("verified %d, asked %d times without a doubt", v-verified, a-asked)
		}
	})
}

func TestSilentCell(t *testing.T) {
	bubble(t, func(r *rig) {
		r.ready("c1", "c2")
		r.mute["c1"] = true
		r.pass(limit - 2*time.Second)
		if !r.record("c1").Healthy.Met {
			r.t.Error("unhealthy before the limit")
		}
		r.pass(4 * time.Second)
		if c := r.record("c1").Healthy; c.Met || c.Code != overdueCode {
			r.t.Errorf("got %+v", c)
		}
		if _, _, v, a := r.seen(); v == 0 || a < 2 {
			r.t.Errorf("verified %d, asked %d times", v, a)
		}
		if !r.record("c2").Healthy.Met {
			r.t.Error("the other cell went with it")
		}
		r.mute["c1"] = false
		r.pass(2 * time.Second)
		if c := r.record("c1").Healthy; c.Met || c.Code != warmingCode {
			r.t.Errorf("back without warming up: %+v", c)
		}
		r.pass(warmup)
		if !r.record("c1").Healthy.Met {
			r.t.Error("not healthy again")
		}
	})
}

// TestNoVerdictInDoubt: a leader that may have been deposed judges nobody.
func TestNoVerdictInDoubt(t *testing.T) {
	bubble(t, func(r *rig) {
		r.ready("c1")
		r.change(func() { r.verify = errors.New("no quorum answered") })
		r.mute["c1"] = true
		r.pass(2 * limit)
		if !r.record("c1").Healthy.Met {
			r.t.Error("judged without leading")
		}
		r.change(func() { r.verify = nil })
		r.pass(2 * time.Second)
		if r.record("c1").Healthy.Met {
			r.t.Error("not judged")
		}
	})
}

// TestAnotherSchedulerSawIt: what gossip did not bring is asked for before the verdict.
func TestAnotherSchedulerSawIt(t *testing.T) {
	bubble(t, func(r *rig) {
		r.ready("c1")
		other := rumor.NewTable("s2", time.Now)
		other.SessionOpened("c1", r.cells["c1"])
		seq := uint64(1 << 40)
		r.change(func() {
			r.ask = func() {
				seq++
				other.Heartbeat("c1", r.cells["c1"], api.Heartbeat{Seq: seq, Stamp: api.Stamp{BootID: "boot", BootTime: 1}}, limit)
				r.table.Merge(other.Local())
			}
		})
		r.mute["c1"] = true
		r.pass(3 * limit)
		if !r.record("c1").Healthy.Met {
			r.t.Errorf("got %+v", r.record("c1").Healthy)
		}
		if _, _, _, n := r.seen(); n < 3 || n > 6 {
			r.t.Errorf("asked %d times", n)
		}
	})
}

// TestMassSilence: when most of a provider falls silent within a heartbeat, the scheduler
// suspects itself; a few cells, or many one after the other, are just unhealthy.
func TestMassSilence(t *testing.T) {
	tests := []struct {
		name         string
		cells, leave int
		apart        time.Duration // between two that leave
		want         string
	}{
		{"all at once", 12, 12, 0, massSilenceCode},
		{"within a heartbeat", 12, 12, 400 * time.Millisecond, massSilenceCode},
		{"too few", 9, 9, 0, overdueCode},
		{"not most", 20, 11, 0, overdueCode},
		{"just most", 20, 12, 0, massSilenceCode},
		{"one after the other", 12, 12, 20 * time.Second, overdueCode},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, func(r *rig) {
				var ids []api.CellID
				for i := range tt.cells {
					ids = append(ids, api.CellID(fmt.Sprintf("c%02d", i)))
				}
				r.ready(ids...)
				for _, id := range ids[:tt.leave] {
					r.mute[id] = true
					if tt.apart >= time.Second {
						r.pass(tt.apart)
					} else {
						time.Sleep(tt.apart)
						r.beat()
					}
				}
				r.pass(limit + 2*beat)
				for _, id := range ids[:tt.leave] {
					if got := r.record(id).Healthy.Code; got != tt.want {
						r.t.Errorf("%s: %s, want %s", id, got, tt.want)
					}
				}
				for _, id := range ids[tt.leave:] {
					if !r.record(id).Healthy.Met {
						r.t.Errorf("%s went with them", id)
					}
				}
				for _, id := range ids {
					r.mute[id] = false
				}
				r.pass(warmup + 2*beat)
				for _, id := range ids {
					if !r.record(id).Healthy.Met {
						r.t.Errorf("%s did not come back: %+v", id, r.record(id).Healthy)
					}
				}
			})
		})
	}
}

// TestLostCertificateAndSession are judged like silence.
func TestLostSession(t *testing.T) {
	bubble(t, func(r *rig) {
		r.ready("c1")
		r.table.SessionClosed("c1", r.cells["c1"])
		r.pass(limit - 2*time.Second)
		if !r.record("c1").Outbound.Met {
			r.t.Error("lost before the limit")
		}
		r.pass(4 * time.Second)
		if c := r.record("c1").Outbound; c.Met || c.Code != "session_lost" {
			r.t.Errorf("got %+v", c)
		}
		r.table.SessionOpened("c1", r.cells["c1"])
		r.pass(2 * time.Second)
		if !r.record("c1").Outbound.Met {
			r.t.Error("not back")
		}
	})
}

func TestCertificateEnds(t *testing.T) {
	bubble(t, func(r *rig) {
		r.ready("c1")
		time.Sleep(certLife - time.Minute)
		if !r.record("c1").IdentityBound.Met {
			r.t.Error("ended before its time")
		}
		r.pass(time.Minute)
		if c := r.record("c1").IdentityBound; c.Met || c.Code != "certificate_expired" {
			r.t.Errorf("got %+v", c)
		}
	})
}
