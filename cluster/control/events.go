package control

import (
	"context"
	"encoding/json"
	"iter"
	"time"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/api/clock"
	"github.com/grafos/grafos/fsm"
)

const (
	// eventPage bounds the events read from the ring at once: what a reader that takes nothing
	// holds in memory.
	eventPage = 64
	// bookmarkEvery is how often a stream says how far it has come.
	bookmarkEvery = 10 * time.Second
	// eventsLost is for how long this scheduler may not have heard a leader and still keep its
	// readers: what they wait for happens elsewhere.
	eventsLost  = 5 * time.Second
	eventsCheck = time.Second
)

// Events yields the changes of the state from a cursor on. A reader that fell behind what
// is held gets a gap, never silence. Nothing here keeps the state machine waiting: a reader
// that is slow only reads later, and perhaps a gap.
func (c *Control) Events(ctx context.Context, f api.EventFilter) iter.Seq2[api.Event, error] {
	return func(yield func(api.Event, error) bool) {
		r := eventReader{c: c, filter: f, yield: yield}
		if err := r.read(ctx); err != nil && ctx.Err() == nil {
			yield(api.Event{}, err)
		}
	}
}

// eventReader is one reading of the events.
type eventReader struct {
	c      *Control
	filter api.EventFilter
	yield  func(api.Event, error) bool
	at     api.Cursor // everything up to it was sent, or is not asked for
	sent   api.Cursor // the newest cursor that the reader was told
	marked time.Time  // when it was sent a bookmark last
}

// read sends until ctx ends or the reader leaves.
func (r *eventReader) read(ctx context.Context) error {
	tenant, err := narrow(ctx, r.filter.Tenant)
	if err != nil {
		return err
	}
	r.filter.Tenant = tenant
	if more, err := r.begin(ctx); err != nil || !more {
		return err
	}
	check := time.NewTicker(eventsCheck)
	defer check.Stop()
	for ctx.Err() == nil {
		changed := r.c.cfg.Machine.Changed(fsm.TopicEvents)
		caught, more := r.next()
		if !more {
			return nil
		}
		if !caught {
			continue
		}
		if err := r.inTouch(); err != nil {
			return err
		}
		if !r.bookmark() {
			return nil
		}
		select {
		case <-changed:
		case <-check.C:
		case <-ctx.Done():
		}
	}
	return nil
}

// inTouch ends a stream that has sent all that there is here when this scheduler has lost its
// leader: silence would look as if nothing happened.
func (r *eventReader) inTouch() error {
	silent := r.c.cfg.Cluster.Touch()
	if silent <= eventsLost {
		return nil
	}
	return api.Refuse(api.NoLeader, "scheduler %s has not heard a leader for %s: what happens now is not known here", r.c.cfg.Node, age(silent)).
		WithHint("go on after %s at another scheduler, or here later", r.at)
}

// begin finds the place where the stream begins; more is false when the reader left.
func (r *eventReader) begin(ctx context.Context) (more bool, err error) {
	if err := api.CheckFrom(r.filter.From); err != nil {
		return false, err
	}
	switch r.filter.From {
	case "", api.FromOldest: // what is not held any more is not asked for
		r.at = r.c.cfg.Machine.EventsAfter(api.Cursor{}, 0).Floor
		return true, nil
	case api.FromNow: // behind all that was acknowledged, also where this scheduler is behind
		v, err := r.c.cfg.Cluster.Read(ctx)
		if err != nil {
			return false, err
		}
		r.at = api.EndOf(v.Index())
		return true, nil
	}
	at, err := api.ParseCursor(r.filter.From)
	if err != nil {
		return false, err
	}
	r.at, r.sent = at, at
	if at.Index <= r.c.cfg.Machine.View().Index() {
		return true, nil
	}
	v, err := r.c.cfg.Cluster.Read(ctx)
	if err != nil {
		return false, err
	}
	if at.Index <= v.Index() { // this scheduler was behind the one that told the cursor
		return true, nil
	}
	return r.gap(api.EndOf(v.Index()), api.GapAhead), nil
}

// next sends a page of what comes behind the reader's place. caught says that there was no
// more; more is false when the reader left.
func (r *eventReader) next() (caught, more bool) {
	page := r.c.cfg.Machine.EventsAfter(r.at, eventPage)
	if page.Gap && !r.gap(page.Floor, api.GapDropped) {
		return false, false
	}
	for _, e := range page.Events {
		if !r.filter.Takes(e) {
			continue
		}
		if !r.send(e) {
			return false, false
		}
	}
	r.at = page.Through
	return len(page.Events) < eventPage, true
}

// gap says that what lies between the reader's place and to is missing, and goes on from to.
func (r *eventReader) gap(to api.Cursor, reason string) bool {
	data, err := json.Marshal(api.Gap{After: r.at, Reason: reason})
	if err != nil {
		r.c.log.Error("encode gap", "error", err) // two texts
	}
	r.at = to
	return r.send(api.Event{Type: api.EventGap, Cursor: to, Time: r.c.cfg.Machine.View().Wall(), Data: data})
}

// bookmark tells a reader who wants to know it how far the stream has come: once when it has
// caught up, and then as often as it has come further without a word.
func (r *eventReader) bookmark() bool {
	first := r.marked.IsZero()
	if !r.filter.Bookmarks || !first && (r.sent == r.at || clock.Since(r.c.cfg.Clock, r.marked) < bookmarkEvery) {
		return true
	}
	r.marked = r.c.cfg.Clock.Now()
	return r.send(api.Event{Type: api.EventBookmark, Cursor: r.at, Time: r.c.cfg.Machine.View().Wall()})
}

func (r *eventReader) send(e api.Event) bool {
	r.sent = e.Cursor
	return r.yield(e, nil)
}
