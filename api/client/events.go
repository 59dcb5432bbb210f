package client

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"iter"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/grafos/grafos/api"
)

const ndjson = "application/x-ndjson"

// Events yields events until ctx ends, also across the death of the scheduler that sends
// them: the stream goes on at another one, behind the last event that was yielded or the last
// bookmark that came. It ends with an error when the filter is refused, or when no scheduler
// could be reached for Config.Timeout. What is no longer held anywhere shows as an event of
// type api.EventGap. Who asks for bookmarks is also told, by an api.EventResumed, that the
// stream broke and goes on.
func (c *Client) Events(ctx context.Context, f api.EventFilter) iter.Seq2[api.Event, error] {
	return func(yield func(api.Event, error) bool) {
		s := eventStream{client: c, filter: f, yield: yield, marks: f.Bookmarks, waits: c.waits()}
		s.filter.Bookmarks = true // they cost little, and without them a narrow filter falls behind
		for round := 0; ; round++ {
			before := s.filter.From
			err := s.follow(ctx)
			if s.stopped || ctx.Err() != nil {
				return
			}
			if err != nil && !resumable(err) && !c.patient(err, s.met) {
				yield(api.Event{}, err)
				return
			}
			if err != nil {
				s.waits.failed(err)
			}
			s.broke = err
			if s.filter.From != before {
				round = 0
			}
			if !pause(ctx, backoff(round)) {
				return
			}
		}
	}
}

// resumable reports whether a stream that ended with err goes on with another connection: a
// connection that was made broke. One that could not be made is the end.
func resumable(err error) bool {
	if _, over := errors.AsType[*endedError](err); over {
		return false
	}
	_, broken := errors.AsType[*brokenError](err)
	return broken
}

// eventStream is one reading of the event stream over several connections.
type eventStream struct {
	client  *Client
	filter  api.EventFilter // of the next connection
	yield   func(api.Event, error) bool
	marks   bool // the consumer wants to see bookmarks
	stopped bool // the consumer wants no more
	met     bool // a scheduler has sent something
	waits   *waits
	broke   error // why the connection before ended, until the consumer was told
}

// follow yields what one connection brings.
func (s *eventStream) follow(ctx context.Context) error {
	body, err := s.client.openStream(ctx, userBase+"/events", eventQuery(s.filter), s.waits)
	if err != nil {
		return err
	}
	defer func() { _ = body.Close() }()
	s.begin(body.header)
	for in := newLines(body); ; {
		var e api.Event
		if err := in.next(&e); err != nil {
			if errors.Is(err, io.EOF) {
				err = &brokenError{io.ErrUnexpectedEOF}
			}
			if what, wait := judge(err); what != final {
				s.client.next(body.base)
				pause(ctx, wait)
				err = &brokenError{err}
			}
			return err
		}
		if s.take(e, body.base); s.stopped {
			return nil
		}
	}
}

// take hands on what one connection brought.
func (s *eventStream) take(e api.Event, base string) {
	if s.broke != nil && s.marks {
		s.stopped = !s.yield(s.resumed(base), nil)
		if s.stopped {
			return
		}
	}
	s.broke, s.met = nil, true
	s.waits.answered()
	s.filter.From = e.Cursor.String()
	if e.Type == api.EventBookmark && !s.marks {
		return
	}
	s.stopped = !s.yield(e, nil)
}

// resumed says that the stream goes on at base, behind the place where it broke.
func (s *eventStream) resumed(base string) api.Event {
	e := api.Event{Type: api.EventResumed, Time: time.Now().UTC()}
	if at, err := api.ParseCursor(s.filter.From); err == nil {
		e.Cursor = at
	}
	data, err := json.Marshal(api.Resumed{Scheduler: base, Because: s.broke.Error()})
	if err == nil {
		e.Data = data
	}
	return e
}

// begin makes "now" the index at which the first connection began, for the case that it
// breaks before its first bookmark: a second one misses nothing.
func (s *eventStream) begin(h http.Header) {
	if s.filter.From != api.FromNow {
		return
	}
	if index, err := strconv.ParseUint(h.Get("Grafos-Index"), 10, 64); err == nil {
		s.filter.From = strconv.FormatUint(index, 10)
	}
}

func eventQuery(f api.EventFilter) url.Values {
	q := url.Values{}
	put(q, "from", f.From)
	put(q, "provider", string(f.Provider))
	put(q, "tenant", string(f.Tenant))
	if f.Bookmarks {
		q.Set("bookmarks", "true")
	}
	for _, t := range f.Types {
		q.Add("types", t)
	}
	return q
}

// openStream opens a stream of lines at whichever scheduler gives one.
func (c *Client) openStream(ctx context.Context, path string, q url.Values, w *waits) (*vigil, error) {
	var stream *vigil
	k := call{method: http.MethodGet, path: path, query: q, accept: ndjson, stream: true, waits: w}
	err := c.each(ctx, k, func(resp *http.Response) error {
		stream = watchOver(resp.Body, idleLimit)
		stream.header = resp.Header
		stream.base = resp.Request.URL.Scheme + "://" + resp.Request.URL.Host
		return nil
	})
	return stream, err
}
