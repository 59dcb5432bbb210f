package control

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/fsm"
)

// collect reads n events.
func (r *rig) collect(ctx context.Context, f api.EventFilter, n int) []api.Event {
	r.t.Helper()
	var got []api.Event
	for e, err := range r.c.Events(ctx, f) {
		if err != nil {
			r.t.Fatal(err)
		}
		if got = append(got, e); len(got) == n {
			break
		}
	}
	return got
}

func types(events []api.Event) string {
	var out []string
	for _, e := range events {
		out = append(out, e.Type)
	}
	return strings.Join(out, " ")
}

// stream reads events until the returned function is called, which tells what came, and the
// error that it ended with.
func (r *rig) stream(ctx context.Context, f api.EventFilter) (end func() ([]api.Event, error)) {
	ctx, cancel := context.WithCancel(ctx)
	var got []api.Event
	var failed error
	done := make(chan struct{})
	go func() {
		defer close(done)
		for e, err := range r.c.Events(ctx, f) {
			if err != nil {
				failed = err
				continue
			}
			got = append(got, e)
		}
	}()
	synctest.Wait()
	return func() ([]api.Event, error) {
		synctest.Wait()
		cancel()
		<-done
		return got, failed
	}
}

func TestEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.cell("c1")
		r.grant()
		for _, from := range []string{"", api.FromOldest} {
			all := r.collect(r.operator(), api.EventFilter{From: from}, 3)
			if strings.Contains(types(all), api.EventGap) {
				t.Errorf("a gap before what is held: %s", types(all))
			}
			// From a cursor on: what comes after it.
			rest := r.collect(r.operator(), api.EventFilter{From: all[1].Cursor.String()}, 1)
			if rest[0].Cursor != all[2].Cursor {
				t.Errorf("got %v after %v, want %v", rest[0].Cursor, all[1].Cursor, all[2].Cursor)
			}
		}
		end := r.stream(r.acme(), api.EventFilter{From: api.FromNow, Types: []string{"lease_"}})
		r.must(fsm.SetQuota{Actor: "operator/root", Tenant: "acme", Quota: api.NoQuota()})
		r.grant()
		r.must(fsm.FreeLease{Actor: "tenant/acme", Lease: "l-1-cpu", Reason: fsm.ReasonReleased})
		if got, err := end(); types(got) != "lease_granted lease_released" || err != nil {
			t.Errorf("from now: %s, %v", types(got), err)
		}
		for _, e := range r.collect(r.acme(), api.EventFilter{}, 3) {
			if e.Tenant != "acme" {
				t.Errorf("acme sees %+v", e)
			}
		}
		for _, err := range r.c.Events(r.operator(), api.EventFilter{From: "yesterday"}) {
			r.wantKind("yesterday", err, api.InvalidArgument)
		}
		for _, err := range r.c.Events(r.acme(), api.EventFilter{Tenant: "other"}) {
			r.wantKind("another tenant", err, api.Forbidden)
		}
	})
}

// TestEventsFromNow: now is behind everything that was acknowledged, also at a scheduler
// that has not heard of it yet; without a leader nobody knows when that is.
func TestEventsFromNow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.cell("c1")
		behind := bareRig(t, 64)
		behind.follow(r, len(r.entries))
		r.grant()
		behind.read = func() error {
			behind.follow(r, len(r.entries))
			return nil
		}
		end := behind.stream(r.operator(), api.EventFilter{From: api.FromNow})
		r.must(fsm.FreeLease{Actor: "tenant/acme", Lease: "l-1-cpu", Reason: fsm.ReasonReleased})
		behind.follow(r, len(r.entries))
		if got, err := end(); types(got) != "lease_released" || err != nil {
			t.Errorf("got %s, %v", types(got), err)
		}
		behind.read = func() error { return api.Refuse(api.NoLeader, "nobody leads") }
		_, err := behind.stream(r.operator(), api.EventFilter{From: api.FromNow})()
		r.wantKind("without a leader", err, api.NoLeader)
	})
}

// gapOf decodes what a gap says.
func gapOf(t *testing.T, e api.Event) api.Gap {
	t.Helper()
	var g api.Gap
	if err := json.Unmarshal(e.Data, &g); err != nil || e.Type != api.EventGap {
		t.Fatalf("no gap: %+v, %v", e, err)
	}
	return g
}

// TestEventsGap: a reader that fell behind is told, once, and goes on behind the gap.
func TestEventsGap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.cell("c1")
		first := r.collect(r.operator(), api.EventFilter{}, 1)[0]
		for range 100 { // the ring holds 64
			r.must(fsm.EnableProvider{Actor: "operator/root", Provider: "gcp", On: true})
			r.must(fsm.EnableProvider{Actor: "operator/root", Provider: "gcp"})
		}
		got := r.collect(r.operator(), api.EventFilter{From: first.Cursor.String()}, 65)
		if got[0].Type != api.EventGap || strings.Contains(types(got[1:]), api.EventGap) {
			t.Errorf("got %s", types(got))
		}
		if g := gapOf(t, got[0]); g.After != first.Cursor || g.Reason != api.GapDropped {
			t.Errorf("got %+v", g)
		}
		if !first.Cursor.Before(got[0].Cursor) || !got[0].Cursor.Before(got[1].Cursor) {
			t.Errorf("the gap ends at %v, between %v and %v", got[0].Cursor, first.Cursor, got[1].Cursor)
		}
		// Resumed at the gap's cursor, nothing is missing.
		again := r.collect(r.operator(), api.EventFilter{From: got[0].Cursor.String()}, 1)
		if again[0].Cursor != got[1].Cursor {
			t.Errorf("resumed at %v, want %v", again[0].Cursor, got[1].Cursor)
		}
	})
}

// TestEventsAfterRestore: of before a snapshot nothing is held, and the reader is told so at
// once, once, with the place from which on nothing is missing.
func TestEventsAfterRestore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.cell("c1")
		first := r.collect(r.operator(), api.EventFilter{}, 1)[0]
		r.restore(r)
		end := r.stream(r.operator(), api.EventFilter{From: first.Cursor.String()})
		r.grant()
		got, err := end()
		if types(got) != api.EventGap+" lease_granted" || err != nil {
			t.Fatalf("got %s, %v", types(got), err)
		}
		if g := gapOf(t, got[0]); g.After != first.Cursor || got[0].Cursor != api.EndOf(r.index-1) {
			t.Errorf("got %+v at %v, want it at %v", g, got[0].Cursor, api.EndOf(r.index-1))
		}
		again, err := r.stream(r.operator(), api.EventFilter{From: got[0].Cursor.String()})()
		if types(again) != "lease_granted" || err != nil {
			t.Errorf("resumed at the gap: %s, %v", types(again), err)
		}
	})
}

// TestEventsOfALostState: a cursor that the cluster has not come to is one of a state that
// was lost. Its reader is told, and goes on from now; it does not wait for its index to come.
func TestEventsOfALostState(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.cell("c1")
		lost := api.Cursor{Index: r.index + 100, Sub: 3}
		end := r.stream(r.operator(), api.EventFilter{From: lost.String()})
		r.grant()
		got, err := end()
		if types(got) != api.EventGap+" lease_granted" || err != nil {
			t.Fatalf("got %s, %v", types(got), err)
		}
		if g := gapOf(t, got[0]); g.After != lost || g.Reason != api.GapAhead || got[0].Cursor != api.EndOf(r.index-1) {
			t.Errorf("got %+v at %v", g, got[0].Cursor)
		}
		// A scheduler that is only behind asks before it says that.
		behind := bareRig(t, 64)
		behind.follow(r, 2)
		behind.read = func() error {
			behind.follow(r, len(r.entries))
			return nil
		}
		at := got[1].Cursor
		r.must(fsm.FreeLease{Actor: "tenant/acme", Lease: "l-1-cpu", Reason: fsm.ReasonReleased})
		got, err = behind.stream(r.operator(), api.EventFilter{From: at.String()})()
		if types(got) != "lease_released" || err != nil {
			t.Errorf("at a scheduler that was behind: %s, %v", types(got), err)
		}
		behind.read = func() error { return api.Refuse(api.NoLeader, "nobody leads") }
		_, err = behind.stream(r.operator(), api.EventFilter{From: lost.String()})()
		r.wantKind("without a leader", err, api.NoLeader)
	})
}

// TestEventsOutOfTouch: a scheduler that has lost its leader sends what it has and ends the
// stream: silence would look as if nothing happened.
func TestEventsOutOfTouch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		end := r.stream(r.operator(), api.EventFilter{})
		r.set(func() { r.touch = eventsLost })
		time.Sleep(3 * eventsCheck)
		r.set(func() { r.touch = eventsLost + time.Millisecond })
		time.Sleep(eventsCheck)
		got, err := end()
		r.wantKind("out of touch", err, api.NoLeader)
		if p, _ := api.AsError(err); len(got) == 0 || !strings.Contains(p.Hint, api.EndOf(r.index).String()) {
			t.Errorf("%d events, and the hint is %q", len(got), p.Hint)
		}
		got, err = r.stream(r.operator(), api.EventFilter{})()
		r.wantKind("out of touch", err, api.NoLeader)
		if len(got) == 0 {
			t.Error("what is held is not sent")
		}
	})
}

// TestBookmarks say how far a stream has come whose filter takes nothing: once when it has
// caught up, then when it has come further, and not oftener than that.
func TestBookmarks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		f := api.EventFilter{From: api.FromNow, Types: []string{"nothing"}, Bookmarks: true}
		end := r.stream(r.operator(), f)
		began := r.index
		time.Sleep(3*bookmarkEvery + eventsCheck/2) // nothing happens: it is not said again
		r.must(fsm.Tick{})
		time.Sleep(eventsCheck)
		for range 100 { // more than the ring holds
			r.must(fsm.EnableProvider{Actor: "operator/root", Provider: "gcp", On: true})
			r.must(fsm.EnableProvider{Actor: "operator/root", Provider: "gcp"})
			synctest.Wait()
		}
		time.Sleep(bookmarkEvery + eventsCheck)
		r.must(fsm.Tick{}) // an entry without events moves the place too
		time.Sleep(bookmarkEvery + eventsCheck)
		got, err := end()
		var at []string
		for _, e := range got {
			at = append(at, e.Cursor.String())
		}
		want := []api.Cursor{api.EndOf(began), api.EndOf(began + 1), api.EndOf(r.index - 1), api.EndOf(r.index)}
		if fmt.Sprint(at) != fmt.Sprint(want) || err != nil {
			t.Fatalf("bookmarks %v, want %v: %v", at, want, err)
		}
		// From the bookmark on nothing is missing; from where it began, there would be a gap.
		if got, _ := r.stream(r.operator(), api.EventFilter{From: at[3]})(); len(got) != 0 {
			t.Errorf("from the bookmark: %s", types(got))
		}
		if got, _ := r.stream(r.operator(), api.EventFilter{From: at[0]})(); !strings.HasPrefix(types(got), api.EventGap) {
			t.Errorf("from the beginning: %s", types(got))
		}
		f.Bookmarks = false
		if got, _ := r.stream(r.operator(), f)(); len(got) != 0 {
			t.Errorf("who asks for none got %s", types(got))
		}
	})
}

// busy makes a history of entries with no, one and many events.
func (r *rig) busy(n int) {
	r.cell("c1")
	for i := range n {
		switch i % 5 {
		case 0:
			r.must(fsm.Tick{})
		case 1:
			r.grantTo("acme", "c1", api.LeaseID(fmt.Sprint("l-", i)), api.RunID(fmt.Sprint("r-", i)))
		case 2:
			r.grantTo("other", "c1", api.LeaseID(fmt.Sprint("l-", i)), "")
		case 3:
			r.must(fsm.FreeLease{Actor: "tenant/acme", Lease: api.LeaseID(fmt.Sprint("l-", i-2)), Reason: fsm.ReasonReleased})
		case 4:
			r.must(fsm.EnableProvider{Actor: "operator/root", Provider: "gcp", On: i%2 == 0})
		}
	}
}

// TestEventsResume: a reader that goes from one scheduler to another, each of them somewhere
// else in the log, at any moment and with any filter, gets every event once and in order; and
// where one is not held any more, it lies within a gap that the reader was told.
func TestEventsResume(t *testing.T) {
	leader := newRig(t)
	leader.busy(200)
	for seed := range uint64(40) {
		synctest.Test(t, func(t *testing.T) {
			rng := rand.New(rand.NewPCG(seed, 7))
			ring := []int{20, 90, 100_000}[rng.IntN(3)]
			f := api.EventFilter{Bookmarks: rng.IntN(2) == 0}
			if rng.IntN(2) == 0 {
				f.Tenant = "acme"
			}
			if rng.IntN(2) == 0 {
				f.Types = []string{"lease_granted", "run_"}
			}
			w := &wanderer{t: t, seed: seed, rng: rng, leader: leader, filter: f}
			for range 3 {
				n := bareRig(t, ring)
				n.read = func() error {
					n.follow(leader, len(leader.entries))
					return nil
				}
				w.nodes = append(w.nodes, n)
			}
			w.wander()
			w.check(ring)
		})
	}
}

// wanderer reads events now at one scheduler, now at another.
type wanderer struct {
	t      *testing.T
	seed   uint64
	rng    *rand.Rand
	leader *rig
	nodes  []*rig
	filter api.EventFilter
	got    []api.Event
}

func (w *wanderer) wander() {
	for w.filter.From = "0.0"; ; {
		for _, n := range w.nodes {
			n.follow(w.leader, w.rng.IntN(20))
		}
		n := w.nodes[w.rng.IntN(len(w.nodes))]
		ctx, cancel := context.WithCancel(n.operator())
		left := w.rng.IntN(12) + 1
		if w.rng.IntN(3) == 0 {
			left = 3 * eventPage
		}
		stop := time.AfterFunc(time.Millisecond, cancel) // when nothing more comes
		for e, err := range n.c.Events(ctx, w.filter) {
			if err != nil {
				w.t.Fatal(err)
			}
			w.filter.From = e.Cursor.String()
			if e.Type != api.EventBookmark {
				w.got = append(w.got, e)
			}
			if left--; left == 0 {
				break
			}
		}
		stop.Stop()
		cancel()
		if n.index == w.leader.index && left > 0 {
			return
		}
	}
}

// check holds what came against what happened.
func (w *wanderer) check(ring int) {
	all := w.leader.m.EventsAfter(api.Cursor{}, 1<<20).Events
	if len(all) == 64 { // the leader's own ring is small: make the history anew
		full := bareRig(w.t, 1<<20)
		full.follow(w.leader, len(w.leader.entries))
		all = full.m.EventsAfter(api.Cursor{}, 1<<20).Events
	}
	var at api.Cursor
	gaps := 0
	for _, e := range w.got {
		if e.Type == api.EventGap {
			gaps++
			at = e.Cursor
			all = slices.DeleteFunc(slices.Clone(all), func(a api.Event) bool { return !at.Before(a.Cursor) })
			continue
		}
		for len(all) > 0 && !w.filter.Takes(all[0]) {
			all = all[1:]
		}
		if len(all) == 0 || all[0].Cursor != e.Cursor || all[0].Type != e.Type {
			w.t.Fatalf("seed %d: got %v %s after %v, and that is not what comes next", w.seed, e.Cursor, e.Type, at)
		}
		at, all = e.Cursor, all[1:]
	}
	for _, e := range all {
		if w.filter.Takes(e) {
			w.t.Fatalf("seed %d: %v %s did not come", w.seed, e.Cursor, e.Type)
		}
	}
	if ring > 1000 && gaps > 0 {
		w.t.Errorf("seed %d: %d gaps, and everything was held", w.seed, gaps)
	}
}

// TestSlowReaders: readers that take nothing keep nobody waiting while 100,000 events are
// applied; they are told of their gap when they read on, and then miss nothing more.
func TestSlowReaders(t *testing.T) {
	r := newRig(t)
	r.cell("c1")
	const readers, events = 20, 100_000
	var toggles []fsm.Command
	for i := range 250 {
		toggles = append(toggles, fsm.EnableProvider{Actor: "operator/root", Provider: "gcp", On: i%2 == 0})
	}
	entry, err := fsm.EncodeEntry(fsm.Entry{Commands: toggles})
	if err != nil {
		t.Fatal(err)
	}
	stuck, free := make(chan struct{}, readers), make(chan struct{})
	gone := make(chan []api.Event, readers)
	for range readers {
		go func() {
			var got []api.Event
			for e, err := range r.c.Events(r.operator(), api.EventFilter{From: api.FromOldest}) {
				if err != nil {
					t.Error(err)
				}
				if got = append(got, e); len(got) == 1 {
					stuck <- struct{}{}
					<-free
				}
				if e.Cursor == (api.Cursor{Index: r.index, Sub: uint32(len(toggles) - 1)}) {
					break
				}
			}
			gone <- got
		}()
	}
	for range readers {
		<-stuck
	}
	for range events / len(toggles) {
		r.apply(entry)
	}
	close(free)
	for range readers {
		got := <-gone
		page := got[:slices.IndexFunc(got, func(e api.Event) bool { return e.Type == api.EventGap })]
		if len(page) == 0 || len(page) > eventPage || strings.Count(types(got), api.EventGap) != 1 {
			t.Fatalf("%d events before the gap: %.300s", len(page), types(got))
		}
		rest := got[len(page)+1:]
		if len(rest) != 64 || rest[0].Cursor.Sub != uint32(len(toggles)-64) { // what the ring holds
			t.Errorf("%d events after the gap, from %v", len(rest), rest[0].Cursor)
		}
	}
}
