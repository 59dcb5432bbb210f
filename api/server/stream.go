package server

import (
	"context"
	"iter"
	"net/http"
	"time"

	"github.com/grafos/grafos/api"
)

const (
	ndjson = "application/x-ndjson"
	// watchKeepAlive and eventKeepAlive are how long a stream is silent at most.
	watchKeepAlive = 5 * time.Second
	eventKeepAlive = 10 * time.Second
)

// sender writes one kind of stream.
type sender[T any] interface {
	// begin sends the headers and whatever says that the stream has begun.
	begin() error
	send(v T) error
	// fail says, as the last message, why the stream ends.
	fail(p *problem) error
	keepAlive() error
	flush() error
}

// item is what an iterator yields.
type item[T any] struct {
	value T
	err   error
}

// stream sends what seq yields until it ends, the reader leaves, or ctx does. cancel ends
// ctx, so that seq ends too; stream waits for that.
func stream[T any](ctx context.Context, cancel context.CancelFunc, seq iter.Seq2[T, error], out sender[T], every time.Duration) error {
	items := make(chan item[T])
	go func() {
		defer close(items)
		pull(ctx, seq, items)
	}()
	defer func() {
		cancel()
		for range items {
			continue // until the puller has left
		}
	}()
	first, ok, err := firstItem(ctx, items, out)
	if err != nil || !ok {
		return err
	}
	return pour(ctx, first, items, out, every)
}

// pull hands over what seq yields. A panic of a service is an error of the stream.
func pull[T any](ctx context.Context, seq iter.Seq2[T, error], items chan<- item[T]) {
	defer func() {
		if cause := recover(); cause != nil {
			push(ctx, items, item[T]{err: api.Refuse(api.Internal, "the stream failed: %v", cause)})
		}
	}()
	for v, err := range seq {
		if !push(ctx, items, item[T]{v, err}) {
			return
		}
	}
}

func push[T any](ctx context.Context, items chan<- item[T], it item[T]) bool {
	select {
	case items <- it:
		return true
	case <-ctx.Done():
		return false
	}
}

// refusalTime is how long a stream waits for a refusal before it answers 200: one that comes
// at once can still be an answer of its own.
const refusalTime = 20 * time.Millisecond

// firstItem begins the stream, after it has had the chance to be refused.
func firstItem[T any](ctx context.Context, items <-chan item[T], out sender[T]) (first *item[T], ok bool, err error) {
	soon := time.NewTimer(refusalTime)
	defer soon.Stop()
	select {
	case it, open := <-items:
		if it.err != nil {
			return nil, false, it.err
		}
		if err := out.begin(); err != nil || !open {
			return nil, false, nil
		}
		return &it, true, nil
	case <-soon.C:
	case <-ctx.Done():
		return nil, false, nil
	}
	return nil, out.begin() == nil, nil
}

// pour sends the items, in as few packets as they come.
func pour[T any](ctx context.Context, first *item[T], items <-chan item[T], out sender[T], every time.Duration) error {
	quiet := time.NewTicker(every)
	defer quiet.Stop()
	if first != nil && (out.send(first.value) != nil || out.flush() != nil) {
		return nil
	}
	for {
		var err error
		select {
		case <-ctx.Done():
			return nil
		case <-quiet.C:
			err = out.keepAlive()
		case it, open := <-items:
			if !open {
				return nil
			}
			if it.err != nil {
				_ = out.fail(problemOf(requestID(ctx), it.err)) // the reader may have left
				return nil
			}
			err = out.send(it.value)
			quiet.Reset(every)
		}
		if err != nil || out.flush() != nil {
			return nil
		}
	}
}

// patience is what a stream has with its reader.
type patience struct {
	x       *exchange
	control *http.ResponseController
	limit   time.Duration
	asked   time.Time // when it was given time last
	taken   time.Time // when it was given the time in which it took something last
}

func patienceOf(x *exchange) patience {
	return patience{x: x, control: http.NewResponseController(x), limit: x.server.config.SlowReader, taken: time.Now()}
}

// more gives the reader time for what is written next.
func (p *patience) more() {
	p.asked = time.Now()
	_ = p.control.SetWriteDeadline(p.asked.Add(p.limit))
}

// took notes a reader that was cut off. It can be told nothing more on this connection: what
// was written last may be half through. It comes again with its cursor.
func (p *patience) took(err error) error {
	if err == nil {
		p.taken = p.asked
		return nil
	}
	if time.Since(p.taken) >= p.limit {
		p.x.server.config.Log.Info("reader cut off: it took nothing for too long", "request_id", p.x.id, "route", p.x.route, "limit", p.limit)
	}
	return err
}

// lineWriter writes JSON objects, one a line.
type lineWriter[T any] struct {
	patience
}

func newLineWriter[T any](x *exchange) *lineWriter[T] { return &lineWriter[T]{patienceOf(x)} }

func (l *lineWriter[T]) begin() error {
	l.x.Header().Set("Content-Type", ndjson)
	return l.keepAlive()
}

func (l *lineWriter[T]) send(v T) error { return l.line(v) }

func (l *lineWriter[T]) fail(p *problem) error {
	if err := l.line(map[string]*problem{"problem": p}); err != nil {
		return err
	}
	return l.flush()
}

func (l *lineWriter[T]) line(v any) error {
	l.more()
	return l.took(l.encode(v))
}

// encode writes v in one piece.
func (l *lineWriter[T]) encode(v any) error {
	buffers := &l.x.server.buffers
	p := buffers.take()
	defer buffers.give(p)
	var err error
	if *p, err = appendJSON(*p, v); err != nil {
		return err
	}
	*p = append(*p, '\n')
	_, err = l.x.Write(*p)
	return err
}

func (l *lineWriter[T]) keepAlive() error {
	l.more()
	if _, err := l.x.Write([]byte("\n")); err != nil {
		return l.took(err)
	}
	return l.flush()
}

func (l *lineWriter[T]) flush() error { return l.took(l.control.Flush()) }
