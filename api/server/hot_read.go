package server

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/grafos/grafos/api"
)

// question reads the parameters of a read where they are plain; it reports false where they
// are not, whatever is wrong with them.
type question[I any] func(r *http.Request) (*I, bool)

// hotRead is hot for reads. What it spares besides huma is a timer: nothing that it answers
// waits for longer than a leader is looked for.
func hotRead[I, O any](h func(context.Context, *I) (*O, error), take question[I]) binder {
	return func(s *server, r route) {
		index := indexOf[O]()
		try := func(ctx context.Context, x *exchange, req *http.Request) bool {
			if req.Method != http.MethodGet || !plainAccept(req.Header) {
				return false
			}
			in, ok := take(req)
			if !ok {
				return false
			}
			out, err := h(ctx, in)
			if err != nil {
				s.refuseHot(ctx, x, err)
				return true
			}
			s.answerHot(x, index(out), out)
			return true
		}
		s.router.wrap = func(slow http.HandlerFunc) http.HandlerFunc { return s.guardBoth(r, try, slow) }
		huma.Register(s.huma, r.operation(), enveloped(s, h))
	}
}

// plainAccept reports whether JSON is what a request takes, or anything.
func plainAccept(h http.Header) bool {
	v := h["Accept"]
	return len(v) == 0 || len(v) == 1 && (v[0] == "application/json" || v[0] == "*/*")
}

// plainQuery reads the parameters of a read that asks for no more than how fresh its answer is.
func plainQuery(r *http.Request) (p ReadParams, ok bool) {
	switch r.URL.RawQuery {
	case "":
		return p, true
	case "consistency=" + string(api.Stale):
		p.Consistency = string(api.Stale)
		return p, true
	case "consistency=" + string(api.Linearizable):
		p.Consistency = string(api.Linearizable)
		return p, true
	}
	return p, false
}

// maxPlain is the length of the longest name that any route takes.
const maxPlain = 63

// plainSegment reads a segment of the path that is a name.
func plainSegment(r *http.Request, name string) (string, bool) {
	v := r.PathValue(name)
	for i := range len(v) {
		if c := v[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return "", false
		}
	}
	return v, v != "" && len(v) <= maxPlain
}

func askLease(r *http.Request) (*leaseIn, bool) {
	id, ok := plainSegment(r, "id")
	if !ok {
		return nil, false
	}
	p, ok := plainQuery(r)
	return &leaseIn{ID: id, ReadParams: p}, ok
}

func askRun(r *http.Request) (*runIn, bool) {
	id, ok := plainSegment(r, "id")
	if !ok {
		return nil, false
	}
	p, ok := plainQuery(r)
	return &runIn{ID: id, ReadParams: p}, ok
}

func askLeases(r *http.Request) (*listLeasesIn, bool) {
	p, ok := plainQuery(r)
	return &listLeasesIn{ReadParams: p}, ok
}

func askRuns(r *http.Request) (*listRunsIn, bool) {
	p, ok := plainQuery(r)
	return &listRunsIn{ReadParams: p}, ok
}

func askCells(r *http.Request) (*listCellsIn, bool) {
	p, ok := plainQuery(r)
	return &listCellsIn{ReadParams: p}, ok
}

func askProviders(r *http.Request) (*listProvidersIn, bool) {
	p, ok := plainQuery(r)
	return &listProvidersIn{ReadParams: p}, ok
}

// askNothing is of a route that has no parameters.
func askNothing(r *http.Request) (*struct{}, bool) { return &struct{}{}, r.URL.RawQuery == "" }
