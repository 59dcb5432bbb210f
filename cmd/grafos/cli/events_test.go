package cli

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/grafos/grafos/api"
)

// told makes an event that tells of the stream itself.
func told(kind string, at api.Cursor, data any) api.Event {
	e := api.Event{Type: kind, Cursor: at}
	if data != nil {
		e.Data, _ = json.Marshal(data)
	}
	return e
}

func TestEventsTellAGapAndAFailure(t *testing.T) {
	for _, tt := range []struct {
		gap   any
		words string
	}{
		{nil, "some events before 1900.0 are no longer held"},
		{api.Gap{After: api.Cursor{Index: 7}, Reason: api.GapDropped}, "some events after 7.0, up to 1900.0, are no longer held"},
		{api.Gap{After: api.Cursor{Index: 9999}, Reason: api.GapAhead}, "has not come to 9999.0"},
	} {
		r := newRig(t)
		r.events = append(r.events, told(api.EventGap, api.Cursor{Index: 1900}, tt.gap))
		r.once["Events"] = api.Refuse(api.NoLeader, "no scheduler answers")
		got := r.run("fabric", "events")
		got.want(t, 8, "gap", tt.words)
		got.want(t, 8, "", "--from 1900.0") // where to go on
		r.once["Events"] = api.Refuse(api.Forbidden, "not yours")
		if got := r.run("fabric", "events"); got.code != 6 || strings.Contains(got.err, "--from") {
			t.Errorf("exit %d: %s", got.code, got.err)
		}
	}
}

// TestEventsResumeByThemselves: that a stream broke and goes on is told to a person, and in
// the way of no program.
func TestEventsResumeByThemselves(t *testing.T) {
	r := newRig(t)
	last := r.events[len(r.events)-1]
	r.events = append(r.events, told(api.EventBookmark, last.Cursor, nil),
		told(api.EventResumed, last.Cursor, api.Resumed{Scheduler: "https://s2:7490", Because: "connection reset"}),
		api.Event{Type: "tenant_created", Cursor: api.Cursor{Index: 1900}})
	got := r.run("fabric", "events")
	got.want(t, 0, "tenant_created", "the stream broke (connection reset) and goes on at https://s2:7490 after 1872.1: nothing is missing")
	for _, args := range [][]string{{"--json"}, {"-o", "name"}, {}} {
		got := r.run(append([]string{"fabric", "events"}, args...)...)
		if strings.Contains(got.out, api.EventResumed) || strings.Contains(got.out, api.EventBookmark) || strings.Count(got.out, "\n") != 3 {
			t.Errorf("%v: %s", args, got.out)
		}
		if len(args) == 1 && got.err != "" {
			t.Errorf("%v: %s", args, got.err)
		}
	}
}

// TestEventsWithoutFollowing end when all that is held was told.
func TestEventsWithoutFollowing(t *testing.T) {
	r := newRig(t)
	r.events = append(r.events, told(api.EventBookmark, api.Cursor{Index: 1890}, nil), api.Event{Type: "tenant_created", Cursor: api.Cursor{Index: 1900}})
	if got := r.run("fabric", "events", "--follow=false"); got.code != 0 || strings.Contains(got.out, "tenant_created") || strings.Count(got.out, "\n") != 2 {
		t.Errorf("exit %d: %s", got.code, got.out)
	}
	for _, from := range []string{"oldest", "now", "1872.1", "1872"} {
		if got := r.run("fabric", "events", "--from", from, "-f"); got.code != 0 {
			t.Errorf("--from %s: exit %d: %s", from, got.code, got.err)
		}
	}
	r.run("fabric", "events", "--from", "latest").want(t, 2, "", "now, oldest or a cursor")
}

// TestStaleAnswersTellTheirAge: to a person in a line beside the answer, to a program in the
// document.
func TestStaleAnswersTellTheirAge(t *testing.T) {
	r := newRig(t)
	age := int64(4200)
	r.fresh = api.Freshness{LastContactMs: &age}
	for _, args := range []string{"fabric cells", "lease list", "lease show l-7f3a01", "provider list", "provider status aws", "run list", "run show r-5b01aa", "admin list-tenants"} {
		cmd := append(strings.Fields(args), "--consistency", "stale")
		r.run(cmd...).want(t, 0, "", "stale: the scheduler that answered heard its leader 4.2s ago")
		got := r.run(append(cmd, "--json")...)
		if got.code != 0 || got.err != "" || !strings.Contains(got.out, `"last_contact_ms":4200`) {
			t.Errorf("%s --json: exit %d, %s, %s", args, got.code, got.err, got.out)
		}
	}
	r.run("fabric", "cells", "--max-stale", "5s").want(t, 0, "", "stale")
	if want := (api.ReadOptions{Consistency: api.Stale, MaxStale: 5 * time.Second}); r.read != want {
		t.Errorf("asked for %+v", r.read)
	}
	r.run("fabric", "cells", "--max-stale", "5s", "--consistency", "linearizable").want(t, 2, "", "--max-stale")
	r.run("fabric", "cells", "--max-stale", "-5s").want(t, 2, "", "--max-stale")
	r.run("fabric", "cells", "--max-stale", "1h").want(t, 2, "", "--max-stale")
}
