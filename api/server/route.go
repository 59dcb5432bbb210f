package server

import (
	"context"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/grafos/grafos/api"
)

// route is one line of the routes table.
type route struct {
	method, path string
	id           string // of the operation, for whoever generates clients
	summary      string
	access       access
	bind         binder
	// leader: it is decided by the leader, and forwarded to it.
	leader bool
	// stream: it lasts, and is bounded by its own limiter only.
	stream bool
	// raw: the body is the handler's to read.
	raw bool
	// probe: it is answered even when there is no room.
	probe bool
	// always: it is answered also by a scheduler that has no place in the cluster.
	always bool
	// limit bounds the body in bytes; 0 is maxBody.
	limit int64
}

// binder registers a route with its handler.
type binder func(s *server, r route)

// requestTime bounds the work on a request that is no stream; a blocking read adds its wait.
const requestTime = 60 * time.Second

// reply is huma's envelope of an answer. Index is that of the state which it was made from: by
// it a reader blocks for the next change, and none that came meanwhile is lost.
type reply[T any] struct {
	Index string `header:"Grafos-Index" doc:"The index of the state that was answered from; block with it for the next change."`
	Body  *T
}

// indexOf returns what tells the index of an answer: "" for one that has none.
func indexOf[T any]() func(*T) string {
	f, ok := reflect.TypeFor[T]().FieldByName("Index")
	if !ok || f.Type.Kind() != reflect.Uint64 {
		return func(*T) string { return "" }
	}
	return func(v *T) string {
		return strconv.FormatUint(reflect.ValueOf(v).Elem().FieldByIndex(f.Index).Uint(), 10)
	}
}

// typed binds a handler whose parameters, body and answer are structs.
func typed[I, O any](h func(context.Context, *I) (*O, error)) binder {
	return func(s *server, r route) {
		s.open(r)
		huma.Register(s.huma, r.operation(), enveloped(s, h))
	}
}

// enveloped is h as huma wants it.
func enveloped[I, O any](s *server, h func(context.Context, *I) (*O, error)) func(context.Context, *I) (*reply[O], error) {
	index := indexOf[O]()
	return func(ctx context.Context, in *I) (*reply[O], error) {
		out, err := h(ctx, in)
		if err != nil {
			return nil, s.refusal(ctx, err)
		}
		return &reply[O]{Index: index(out), Body: out}, nil
	}
}

// plain binds a handler that reads the request and writes the answer itself; describe adds
// to the operation what its types would say. Without it the route is not described.
func plain(h func(x *exchange, r *http.Request) error, describe func(*huma.Operation)) binder {
	return func(s *server, r route) {
		op := r.operation()
		op.Responses = map[string]*huma.Response{}
		if describe != nil {
			describe(&op)
			s.huma.OpenAPI().AddOperation(&op)
		}
		s.router.handle(r.method, r.path, s.guard(r, func(_ http.ResponseWriter, req *http.Request) {
			x := exchangeFrom(req.Context())
			err := r.checkQuery(&op, req)
			if err == nil {
				err = h(x, req)
			}
			if err != nil {
				x.refuse(err)
			}
		}))
	}
}

// checkQuery refuses a parameter that the operation does not have, as huma does for typed
// routes. Probes and pages may be asked with anything.
func (rt route) checkQuery(op *huma.Operation, req *http.Request) error {
	if rt.probe || req.URL.RawQuery == "" || !strings.HasPrefix(rt.path, "/api/") {
		return nil
	}
	for name := range req.URL.Query() {
		if !slices.ContainsFunc(op.Parameters, func(p *huma.Param) bool { return p.In == "query" && p.Name == name }) {
			e := api.Refuse(api.InvalidArgument, "the request is not valid: query.%s: unknown query parameter", clip(name, 64))
			e.Errors = []api.FieldError{{Location: "query." + clip(name, 64), Message: "unknown query parameter"}}
			return e
		}
	}
	return nil
}

// checkRepeats is checkQuery for what is given twice; of every route.
func (rt route) checkRepeats(req *http.Request) error {
	if rt.probe || req.URL.RawQuery == "" || !strings.HasPrefix(rt.path, "/api/") {
		return nil
	}
	return onceEach(req)
}

// open tells the router which guard the next typed route has: huma registers the handler.
func (s *server) open(r route) {
	s.router.wrap = func(h http.HandlerFunc) http.HandlerFunc { return s.guard(r, plainly(h)) }
}

// plainly refuses a body that says something twice, which huma would not see.
func plainly(h http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if x := exchangeFrom(r.Context()); x != nil {
			if err := uniqueNames(x.body); err != nil {
				x.refuse(err)
				return
			}
		}
		h(w, r)
	}
}

// refusal is err for huma, logged where it is grafOS's own fault.
func (s *server) refusal(ctx context.Context, err error) *problem {
	p := problemOf(requestID(ctx), err)
	if p.Kind == api.Internal {
		s.config.Log.Error("request failed", "request_id", p.RequestID, "error", err)
	}
	return p
}

// operation is the route as OpenAPI has it.
func (rt route) operation() huma.Operation {
	op := huma.Operation{
		OperationID: rt.id, Method: rt.method, Path: rt.path, Summary: rt.summary, Tags: []string{tagOf(rt.path)},
		RejectUnknownQueryParameters: true,
		MaxBodyBytes:                 rt.bodyLimit() + 1, // the guard has read it, within its bound
		BodyReadTimeout:              -1,
	}
	if rt.access.public {
		op.Security = []map[string][]string{}
	} else {
		op.Description = "Role: " + rt.access.String() + "."
	}
	return op
}

func (rt route) bodyLimit() int64 {
	if rt.limit == 0 {
		return maxBody
	}
	return rt.limit
}

// guard takes the steps that every route has before its handler.
func (s *server) guard(rt route, h http.HandlerFunc) http.HandlerFunc {
	return s.guardBoth(rt, nil, h)
}

// short answers a request that is plain, whose body is empty, and reports whether it was one.
type short func(ctx context.Context, x *exchange, r *http.Request) bool

// guardBoth is guard for a route that has a short way too, or nil.
func (s *server) guardBoth(rt route, try short, h http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		x, ok := w.(*exchange)
		if !ok {
			http.Error(w, "no exchange", http.StatusInternalServerError)
			return
		}
		x.route = rt.path
		if err := s.pass(rt, x, r, try, h); err != nil {
			x.refuse(err)
		}
	}
}

// pass refuses, forwards, or calls h.
func (s *server) pass(rt route, x *exchange, r *http.Request, try short, h http.HandlerFunc) error {
	wait := waitOf(r)
	if err := s.makeRoom(rt, x, wait); err != nil {
		return err
	}
	caller, by, err := s.admit(rt, r)
	if err != nil {
		return err
	}
	if by != "" {
		x.takeID(r.Header.Get(headRequestID))
	}
	if err := s.standing(rt); err != nil {
		return err
	}
	if rt.session() {
		release, err := s.eachOf.take(caller.Actor())
		if err != nil {
			return err
		}
		defer release()
	}
	if rt.lasts(wait) {
		release, err := s.each.take(caller.Actor())
		if err != nil {
			return err
		}
		defer release()
		if open := s.config.Open; open != nil {
			open.Add(1)
			defer open.Add(-1)
		}
	}
	ctx := context.WithValue(api.WithCaller(r.Context(), caller), exchangeKey{}, x)
	if try != nil && r.ContentLength == 0 && try(ctx, x, r) {
		return nil
	}
	if err := rt.checkRepeats(r); err != nil {
		return err
	}
	ctx, cancel := rt.bound(ctx, wait, caller)
	defer cancel()
	if stopping := s.config.Stopping; stopping != nil && (rt.stream || wait != "") {
		defer context.AfterFunc(stopping, cancel)()
	}
	r = r.WithContext(ctx)
	r.Body = x.unread.over(r.Body)

	var body []byte
	if !rt.raw {
		if body, err = readBody(x, r, rt.bodyLimit()); err != nil {
			return err
		}
		x.body = body
	}
	if rt.leader {
		if err := ensureKey(r); err != nil {
			return err
		}
		if rt.stream {
			return s.decideStream(x, r, body, by, h)
		}
		return s.decide(x, r, body, by, h)
	}
	h(x, r)
	return nil
}

// standing refuses on behalf of a scheduler that has no place in the cluster: what it knows
// may be old, or nothing. The other schedulers may still ask it.
func (s *server) standing(rt route) error {
	if rt.probe || rt.always || s.config.Standing == nil || slices.Equal(rt.access.roles, members().roles) {
		return nil
	}
	return s.config.Standing()
}

// waitOf returns how long a blocking read asks to wait, "" of any other request. A query that
// has no such word in it, and nothing that could stand for one, need not be taken apart.
func waitOf(r *http.Request) string {
	if q := r.URL.RawQuery; q == "" || !strings.Contains(q, "wait") && !strings.Contains(q, "%") {
		return ""
	}
	return r.URL.Query().Get("wait")
}

// lasts reports whether a request with such a wait is a user's stream or blocking read. Those
// of cells and schedulers are counted by themselves.
func (rt route) lasts(wait string) bool {
	return (rt.stream || wait != "") && !rt.access.inner()
}

// session reports whether the route is a cell's session.
func (rt route) session() bool { return rt.stream && rt.access.inner() }

// makeRoom takes the room that the request needs.
func (s *server) makeRoom(rt route, x *exchange, wait string) error {
	if rt.probe {
		return nil
	}
	room := s.short
	switch {
	case rt.session():
		room = s.cells
	case rt.access.inner():
		room = s.inner
	case rt.access.public:
		room = s.nobody
	case rt.lasts(wait):
		room = s.long
	}
	release, err := room.take()
	if err != nil {
		if rt.session() {
			return later(api.Refuse(api.Overloaded, "this scheduler holds %d sessions already", cap(room)).
				WithHint("open it at another scheduler; more of them, or a larger --max-sessions, have more room"))
		}
		return err
	}
	x.release = release
	return nil
}

// admit returns who asks, when the route's rule lets them.
func (s *server) admit(rt route, r *http.Request) (caller api.Caller, by string, err error) {
	caller, by, err = s.identify(r)
	if rt.access.public {
		if err != nil {
			caller, by = api.Caller{}, ""
		}
		return caller, by, nil
	}
	if err != nil {
		return caller, by, err
	}
	if caller.Role == "" {
		return caller, by, nobody(r)
	}
	if err := rt.access.allow(caller, r); err != nil {
		return caller, by, err
	}
	if caller.Role == api.RoleCell && !rt.access.joins {
		return caller, by, s.config.Auth.Bound(r.Context(), caller)
	}
	return caller, by, nil
}

// bound returns ctx with the time that the route has: a stream ends with the certificate
// that opened it.
func (rt route) bound(ctx context.Context, wait string, caller api.Caller) (context.Context, context.CancelFunc) {
	if rt.stream {
		if caller.NotAfter.IsZero() {
			return context.WithCancel(ctx)
		}
		return context.WithDeadline(ctx, caller.NotAfter)
	}
	limit := requestTime
	if wait, err := parseWait("wait", wait); err == nil {
		limit += wait + wait/api.WaitJitter
	}
	return context.WithTimeout(ctx, limit)
}
