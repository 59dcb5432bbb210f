package leader

import (
	"fmt"
	"time"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/capbroker/pki"
	"github.com/grafos/grafos/cluster/rumor"
	"github.com/grafos/grafos/fsm"
)

// facts is all that a verdict about one cell depends on.
type facts struct {
	rec *api.CellRecord
	// sight is the freshest sighting by any scheduler; seen says that there is one.
	sight rumor.Sight
	seen  bool
	// silent is for how long this leader has not heard of the cell at most: since it leads,
	// when nobody saw the cell.
	silent        time.Duration
	limit, warmup time.Duration
	// falls is how often the cell lost its health lately, and warmup then longer.
	falls int
	wall  time.Time // for certificates only
}

// verdict is what the leader holds for true of a cell. Codes are stable, messages are not.
type verdict struct{ identity, healthy, outbound api.Condition }

// The codes that the leader itself asks for.
const (
	overdueCode     = "heartbeat_overdue"
	warmingCode     = "warming_up"
	massSilenceCode = fsm.CodeMassSilence
)

// age is for how long nobody heard the cell.
func (f facts) age() time.Duration {
	if f.seen {
		return f.sight.Age
	}
	return f.silent
}

// judge is the whole rule of readiness that a leader observes. What a revoked cell is stands in the state for ever, in
// the words of its revocation: there is nothing to observe.
func judge(f facts) verdict {
	if f.rec.Revoked {
		return verdict{identity: barred(f.rec.IdentityBound), healthy: barred(f.rec.Healthy), outbound: barred(f.rec.Outbound)}
	}
	return verdict{identity: judgeIdentity(f), healthy: judgeHealth(f), outbound: judgeSession(f)}
}

func met() api.Condition { return api.Condition{Met: true} }

func unmet(code, format string, args ...any) api.Condition {
	return api.Condition{Code: code, Message: fmt.Sprintf(format, args...)}
}

// barred is a condition of a revoked cell.
func barred(was api.Condition) api.Condition {
	if was.Met || was.Code == "" {
		return unmet(fsm.CodeIdentityRevoked, "the identity is revoked, for ever")
	}
	return was
}

func judgeIdentity(f facts) api.Condition {
	end := time.Unix(f.rec.Identity.NotAfter, 0)
	switch {
	case f.rec.Identity.SPKI == "":
		return unmet("no_certificate", "no certificate was ever shown")
	case !f.wall.Before(end.Add(pki.RenewableFor)):
		return unmet(fsm.CodeCertificateLapsed, "the certificate ended at %s, more than %s ago", end.UTC().Format(time.RFC3339), pki.RenewableFor)
	case !f.wall.Before(end):
		return unmet(fsm.CodeCertificateExpired, "the certificate ended at %s; it can be renewed until %s",
			end.UTC().Format(time.RFC3339), end.Add(pki.RenewableFor).UTC().Format(time.RFC3339))
	}
	return met()
}

func judgeHealth(f facts) api.Condition {
	age, was := f.age(), f.rec.Healthy
	switch {
	case age > f.limit && !f.seen && was.Code == "":
		return unmet(overdueCode, "no heartbeat for %s, limit %s", round(age), round(f.limit))
	case age > f.limit:
		return unmet(overdueCode, "last heartbeat %s ago, limit %s", round(age), round(f.limit))
	case !f.seen:
		return was // a new leader has not heard anything yet: what was true stays true for one limit
	case f.sight.Stuck != "":
		return unmet(fsm.CodeStuck, "%s", f.sight.Stuck)
	case was.Met:
		return met() // the warm-up is for cells that come, not for cells whose scheduler went
	case f.sight.Steady < f.warmup && f.falls >= flapsAt:
		return unmet(fsm.CodeFlapping, "lost its health %d times lately: %s of %s of steady heartbeats", f.falls, round(f.sight.Steady), round(f.warmup))
	case f.sight.Steady < f.warmup:
		return unmet(warmingCode, "%s of %s of steady heartbeats", round(f.sight.Steady), round(f.warmup))
	}
	return met()
}

func judgeSession(f facts) api.Condition {
	if !f.seen {
		if f.silent > f.limit {
			return unmet("no_session", "no scheduler holds a session of it for %s, limit %s", round(f.silent), round(f.limit))
		}
		return f.rec.Outbound
	}
	if f.sight.Session || f.sight.SessionAge <= f.limit {
		return met()
	}
	if f.sight.SessionAge == rumor.Never {
		return unmet("no_session", "no scheduler has seen a session of it yet")
	}
	return unmet("session_lost", "last session ended %s ago, limit %s", round(f.sight.SessionAge), round(f.limit))
}

func round(d time.Duration) time.Duration {
	if d < 10*time.Second {
		return d.Round(100 * time.Millisecond)
	}
	return d.Round(time.Second)
}

// differs reports whether a transition is to be committed: numbers in a message are none.
func differs(was, is api.Condition) bool { return was.Met != is.Met || was.Code != is.Code }
