package server

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/grafos/grafos/api"
)

const (
	// maxBody bounds a request body where the route says nothing else, in bytes.
	maxBody = 64 << 10
	// bodyTime is how long a bounded body may take to arrive.
	bodyTime = 10 * time.Second
	// restTime is for how long the rest of a body is waited for that nobody wants: whoever sends it
	// at once keeps the connection.
	restTime = 2 * time.Second
	// farewellTime is for how long it is waited for over HTTP/2 before the connection ends.
	farewellTime = 500 * time.Millisecond
)

// readBody reads the whole body, at most limit bytes of it, and puts it back into r.
func readBody(x *exchange, r *http.Request, limit int64) ([]byte, error) {
	if r.Body == nil || r.Body == http.NoBody || r.ContentLength == 0 {
		r.Body = http.NoBody
		return nil, nil
	}
	if r.ContentLength > limit {
		return nil, tooLarge(limit)
	}
	within := x.server.bodyTime
	stop := hurry(x, within)
	buf := bytes.NewBuffer(make([]byte, 0, max(r.ContentLength, 0)+bytes.MinRead))
	n, err := buf.ReadFrom(io.LimitReader(r.Body, limit+1))
	stop(err == nil && n <= limit)
	if n > limit {
		return nil, tooLarge(limit)
	}
	if err != nil {
		return nil, bodyError(err, within)
	}
	r.Body = io.NopCloser(bytes.NewReader(buf.Bytes()))
	return buf.Bytes(), nil
}

// hurry ends the reading of a body after d, unless what it returns was called before. It sets no
// deadline before it has to: over HTTP/2 each one is a message to whoever serves the connection.
// It lifts the one that it sets where the body was read to its end: on HTTP/1 that would end the
// request's context while the handler still works. Else it stays: the rest is not waited for.
func hurry(w http.ResponseWriter, d time.Duration) (stop func(whole bool)) {
	control, ended := http.NewResponseController(w), make(chan struct{})
	late := time.AfterFunc(d, func() {
		defer close(ended)
		_ = control.SetReadDeadline(time.Now()) // a test's recorder has none
	})
	return func(whole bool) {
		if !late.Stop() {
			<-ended
			if whole {
				_ = control.SetReadDeadline(time.Time{})
			}
		}
	}
}

// within gives the body of a request that is read by its handler its time. Nobody has to lift that:
// net/http does when the body ends, and what is left of one that did not end has another.
func (x *exchange) within(d time.Duration) {
	if x.request.ContentLength != 0 { // else whoever reads on HTTP/1 waits for the other side to leave
		_ = http.NewResponseController(x.ResponseWriter).SetReadDeadline(time.Now().Add(d)) // a recorder has none
	}
}

// unread is the body of a request over HTTP/1, and knows whether its end was seen. net/http reads
// what is left of it before it sends the answer and before it closes the connection, and would wait
// for that as long as the other side likes.
type unread struct {
	io.ReadCloser
	left atomic.Int32 // ended, coming or lost
}

// What is left of a body.
const (
	ended int32 = iota // nothing, or no one has to know
	coming
	lost // it is not waited for any more
)

// await begins to watch the body of a request over HTTP/1; over HTTP/2 nobody waits for one.
func (u *unread) await(r *http.Request) {
	if r.ProtoMajor == 1 && r.Body != nil && r.Body != http.NoBody && r.ContentLength != 0 {
		u.ReadCloser = r.Body
		u.left.Store(coming)
	}
}

// over returns r's body, watched where it is.
func (u *unread) over(body io.ReadCloser) io.ReadCloser {
	if u.ReadCloser == nil {
		return body
	}
	return u
}

// Read reads, and notes how it ended.
func (u *unread) Read(p []byte) (int, error) {
	n, err := u.ReadCloser.Read(p)
	if errors.Is(err, io.EOF) {
		u.left.Store(ended)
	} else if err != nil {
		u.left.Store(lost)
	}
	return n, err
}

// letGo bounds the time for what is left of the body, now that it is answered. Where that does not
// come, net/http sends the answer with "Connection: close" and closes.
func (x *exchange) letGo() {
	rest := restTime
	switch x.unread.left.Load() {
	case ended:
		return
	case lost:
		rest = 0
	}
	_ = http.NewResponseController(x.ResponseWriter).SetReadDeadline(time.Now().Add(rest)) // a recorder has none
}

// drain takes what is left of the body before an answer that ends a connection of HTTP/2. Else the answer
// would be followed by a reset of its stream, and some clients that read this after the GOAWAY forget
// the answer: curl does.
func (x *exchange) drain() {
	if r := x.request; r.ProtoMajor == 2 && r.Body != nil {
		stop := hurry(x.ResponseWriter, farewellTime)
		_, err := io.CopyN(io.Discard, r.Body, maxBody)
		stop(errors.Is(err, io.EOF))
	}
}

func tooLarge(limit int64) error {
	return api.Refuse(api.TooLarge, "the request body is larger than %d bytes", limit)
}

// bodyError says why a body did not arrive within its time.
func bodyError(err error, within time.Duration) error {
	if ne, ok := errors.AsType[net.Error](err); ok && ne.Timeout() {
		return bodyLate(within)
	}
	return api.Refuse(api.InvalidArgument, "the request body broke off: %v", err)
}

func bodyLate(within time.Duration) *api.Error {
	return api.Refuse(api.InvalidArgument, "the request body did not arrive within %s", within)
}
