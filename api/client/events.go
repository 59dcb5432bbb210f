package client

import (
	"context"
	"errors"
	"io"
	"iter"
	"net/http"
	"net/url"
	"strconv"

	"github.com/grafos/grafos/api"
)

const ndjson = "application/x-ndjson"

// Events yields events until ctx ends, also across the death of the scheduler that sends
// them: the stream goes on at another one after the last event that was yielded. It ends
// with an error when the filter is refused, or when no scheduler could be reached for
// Config.Timeout. What is no longer held anywhere shows as an event of type api.EventGap.
func (c *Client) Events(ctx context.Context, f api.EventFilter) iter.Seq2[api.Event, error] {
	return func(yield func(api.Event, error) bool) {
		s := eventStream{client: c, filter: f}
		for round := 0; ; round++ {
			before := s.filter.From
			err := s.follow(ctx, yield)
			if s.stopped || ctx.Err() != nil {
				return
			}
			if err != nil && !resumable(err) {
				yield(api.Event{}, err)
				return
			}
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
	filter  api.EventFilter
	stopped bool // the consumer wants no more
}

// follow yields what one connection brings.
func (s *eventStream) follow(ctx context.Context, yield func(api.Event, error) bool) error {
	body, err := s.client.openStream(ctx, userBase+"/events", eventQuery(s.filter))
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
		s.filter.From = e.Cursor.String()
		if !yield(e, nil) {
			s.stopped = true
			return nil
		}
	}
}

// begin makes "now" the index at which the first connection began, so that a second one
// misses nothing.
func (s *eventStream) begin(h http.Header) {
	if s.filter.From != "now" {
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
	for _, t := range f.Types {
		q.Add("types", t)
	}
	return q
}

// openStream opens a stream of lines at whichever scheduler gives one.
func (c *Client) openStream(ctx context.Context, path string, q url.Values) (*vigil, error) {
	var stream *vigil
	k := call{method: http.MethodGet, path: path, query: q, accept: ndjson, stream: true}
	err := c.each(ctx, k, func(resp *http.Response) error {
		stream = watchOver(resp.Body, idleLimit)
		stream.header = resp.Header
		stream.base = resp.Request.URL.Scheme + "://" + resp.Request.URL.Host
		return nil
	})
	return stream, err
}
