package server

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"math/rand/v2"
	"net/http"
	"runtime/debug"
	"strconv"
	"time"

	"github.com/grafos/grafos/api"
)

// Headers of our own.
const (
	headIndex       = "Grafos-Index"
	headLeader      = "Grafos-Leader"
	headLastContact = "Grafos-Last-Contact"
	headRequestID   = "Grafos-Request-Id"
	headKind        = "Grafos-Kind" // of a problem whose answer has no body
	headDigest      = "Grafos-Digest"
	headForwarded   = "Grafos-Forwarded"
	headCaller      = "Grafos-Caller"
	headKey         = "Idempotency-Key"
)

// exchange is one request and its answer: it adds to the answer what every answer has, and
// remembers what was answered.
type exchange struct {
	http.ResponseWriter
	server  *server
	request *http.Request
	id      string
	began   time.Time
	route   string // the pattern; "" while none was found
	body    []byte // of the request, where the guard has read it
	status  int    // 0 while nothing was answered
	aborted bool
	release func() // gives back the room that a limiter gave
	unread  unread // the request's body, over HTTP/1
}

type exchangeKey struct{}

// newExchange begins one.
func newExchange(s *server, w http.ResponseWriter, r *http.Request) *exchange {
	x := &exchange{ResponseWriter: w, server: s, request: r, id: newRequestID(), began: time.Now()}
	x.unread.await(r)
	return x
}

// exchangeFrom finds the exchange that a handler works on.
func exchangeFrom(ctx context.Context) *exchange {
	x, ok := ctx.Value(exchangeKey{}).(*exchange)
	if !ok {
		return nil
	}
	return x
}

// requestID returns the id of the exchange that ctx belongs to, or "".
func requestID(ctx context.Context) string {
	if x := exchangeFrom(ctx); x != nil {
		return x.id
	}
	return ""
}

// WriteHeader adds the headers that every answer has.
func (x *exchange) WriteHeader(status int) {
	if x.status != 0 {
		return
	}
	x.status = status
	h, one := x.Header(), newValues()
	one.set(h, headRequestID, x.id)
	one.set(h, "X-Content-Type-Options", "nosniff")
	if h.Get("Cache-Control") == "" {
		one.set(h, "Cache-Control", "no-store")
	}
	x.tellHead(h, one)
	x.letGo()
	x.ResponseWriter.WriteHeader(status)
}

// tellHead sets the headers that say how fresh the answer is, as of now, where the answer
// does not say it better: a leader's that is handed on, or the index that was read at.
func (x *exchange) tellHead(h http.Header, one *values) {
	head := x.server.head()
	if len(h[headIndex]) == 0 {
		one.set(h, headIndex, strconv.FormatUint(head.Index, 10))
	}
	if len(h[headLeader]) == 0 {
		one.set(h, headLeader, string(head.Leader))
	}
	if len(h[headLastContact]) == 0 {
		one.set(h, headLastContact, strconv.FormatInt(head.LastContact.Milliseconds(), 10))
	}
}

// values is the room for what headers say that have one value each: one allocation for all.
type values []string

func newValues() *values {
	v := make(values, 0, ownHeaders)
	return &v
}

// ownHeaders is how many headers every answer has.
const ownHeaders = 6

// set is http.Header's Set for a name that is canonical.
func (v *values) set(h http.Header, name, value string) {
	*v = append(*v, value)
	n := len(*v)
	h[name] = (*v)[n-1 : n : n]
}

// newRequestID makes 80 bits of chance readable. An id is to be told from others, and is no
// secret.
func newRequestID() string {
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
	var id [16]byte
	for half := range 2 {
		for n, i := rand.Uint64(), 0; i < 8; i, n = i+1, n>>5 {
			id[8*half+i] = letters[n&31]
		}
	}
	return string(id[:])
}

// Write answers 200 where nothing was answered yet.
func (x *exchange) Write(p []byte) (int, error) {
	if x.status == 0 {
		x.WriteHeader(http.StatusOK)
	}
	return x.ResponseWriter.Write(p)
}

// FlushError sends what was written. It exists so that nobody unwraps to a writer that
// lacks our headers.
func (x *exchange) FlushError() error {
	if x.status == 0 {
		x.WriteHeader(http.StatusOK)
	}
	return http.NewResponseController(x.ResponseWriter).Flush()
}

// Unwrap lets a http.ResponseController set deadlines.
func (x *exchange) Unwrap() http.ResponseWriter { return x.ResponseWriter }

// refuse answers with the problem of err.
func (x *exchange) refuse(err error) {
	if x.status != 0 {
		x.aborted = true // half an answer is out: only cutting it off tells the truth
		return
	}
	p := problemOf(x.id, err)
	h := x.Header()
	maps.Copy(h, p.GetHeaders())
	h.Set("Content-Type", problemType)
	if p.Kind == api.IdentityRevoked && x.request.Header.Get(headForwarded) == "" {
		h.Set("Connection", "close") // nothing that comes on it is answered otherwise
		x.drain()
	}
	if p.Kind == api.Internal {
		x.server.config.Log.Error("request failed", "request_id", x.id, "route", x.route, "error", err)
	}
	x.WriteHeader(p.Status)
	if x.request.Method != http.MethodHead {
		_ = x.server.buffers.encode(x, p) // a reader who left needs no answer
	}
}

// answer sends v as JSON.
func (x *exchange) answer(status int, v any) {
	x.Header().Set("Content-Type", "application/json")
	x.WriteHeader(status)
	_ = json.NewEncoder(x).Encode(v) // as above
}

// finish ends the exchange: it turns a panic into internal, gives room back and tells
// whoever observes.
func (x *exchange) finish() {
	cause := recover()
	if x.release != nil {
		x.release()
	}
	if cause != nil {
		x.panicked(cause)
	}
	if x.status == 0 {
		x.letGo() // net/http answers, or closes
	}
	took := time.Since(x.began)
	if x.server.config.Observe != nil {
		x.server.config.Observe(x.route, x.request.Method, x.status, took)
	}
	if log := x.server.config.Log; log.IsDebug() {
		log.Debug("request", "request_id", x.id, "method", x.request.Method, "route", x.route, "status", x.status, "took", took)
	}
	if x.aborted {
		panic(http.ErrAbortHandler)
	}
}

func (x *exchange) panicked(cause any) {
	if err, ok := cause.(error); ok && errors.Is(err, http.ErrAbortHandler) {
		x.aborted = true
		return
	}
	x.server.config.Log.Error("handler panicked", "request_id", x.id, "method", x.request.Method, "route", x.route,
		"error", cause, "stack", string(debug.Stack()))
	x.refuse(api.Refuse(api.Internal, "the scheduler failed at this request").
		WithHint("its log says more beside request id %s", x.id))
}

// clip shortens s to n bytes.
func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return s[:n] + "..."
}
