package server

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/grafos/grafos/api"
)

const (
	// maxBody bounds a request body where the route says nothing else, in bytes.
	maxBody = 64 << 10
	// bodyTime is how long a bounded body may take to arrive.
	bodyTime = 10 * time.Second
)

// readBody reads the whole body, at most limit bytes of it, and puts it back into r.
func readBody(w http.ResponseWriter, r *http.Request, limit int64) ([]byte, error) {
	if r.Body == nil || r.Body == http.NoBody || r.ContentLength == 0 {
		r.Body = http.NoBody
		return nil, nil
	}
	if r.ContentLength > limit {
		return nil, tooLarge(limit)
	}
	defer hurry(w, bodyTime)()
	buf := bytes.NewBuffer(make([]byte, 0, max(r.ContentLength, 0)+bytes.MinRead))
	n, err := buf.ReadFrom(io.LimitReader(r.Body, limit+1))
	if n > limit {
		return nil, tooLarge(limit)
	}
	if err != nil {
		return nil, bodyError(err)
	}
	r.Body = io.NopCloser(bytes.NewReader(buf.Bytes()))
	return buf.Bytes(), nil
}

// hurry ends the reading of a body after d, unless what it returns was called before. It sets no
// deadline before it has to: over HTTP/2 each one is a message to whoever serves the connection.
// It lifts the one that it sets: on HTTP/1 that would end the request's context while the handler
// still works.
func hurry(w http.ResponseWriter, d time.Duration) (stop func()) {
	control, ended := http.NewResponseController(w), make(chan struct{})
	late := time.AfterFunc(d, func() {
		defer close(ended)
		_ = control.SetReadDeadline(time.Now()) // a test's recorder has none
	})
	return func() {
		if !late.Stop() {
			<-ended
			_ = control.SetReadDeadline(time.Time{})
		}
	}
}

func tooLarge(limit int64) error {
	return api.Refuse(api.TooLarge, "the request body is larger than %d bytes", limit)
}

// bodyError says why a body did not arrive.
func bodyError(err error) error {
	if ne, ok := errors.AsType[net.Error](err); ok && ne.Timeout() {
		return api.Refuse(api.InvalidArgument, "the request body did not arrive within %s", bodyTime)
	}
	return api.Refuse(api.InvalidArgument, "the request body broke off: %v", err)
}
