package server

import (
	"context"
	"maps"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/api/quick"
)

// taker reads the parameters and the body of a request where both are plain; it reports false
// where they are not, whatever is wrong with them.
type taker[I any] func(r *http.Request, body []byte) (*I, bool)

// hot is typed for the routes that every admission passes through: a request that is plain is
// read and answered without huma. Any other one, and so every one that is refused for what it
// is, goes the way of all routes: the two are alike, but for what they cost.
func hot[I, O any](h func(context.Context, *I) (*O, error), take taker[I]) binder {
	return func(s *server, r route) {
		index := indexOf[O]()
		quickly := func(w http.ResponseWriter, req *http.Request) bool {
			x := exchangeFrom(req.Context())
			if x == nil || !plainHeaders(req.Header) {
				return false
			}
			in, ok := take(req, x.body)
			if !ok {
				return false
			}
			out, err := h(req.Context(), in)
			if err != nil {
				s.refuseHot(req.Context(), w, err)
				return true
			}
			s.answerHot(w, index(out), out)
			return true
		}
		s.router.wrap = func(slow http.HandlerFunc) http.HandlerFunc {
			slow = plainly(slow)
			return s.guard(r, func(w http.ResponseWriter, req *http.Request) {
				if !quickly(w, req) {
					slow(w, req)
				}
			})
		}
		huma.Register(s.huma, r.operation(), enveloped(s, h))
	}
}

// plainHeaders reports whether a request says JSON and takes JSON, as our own clients do.
func plainHeaders(h http.Header) bool {
	one := func(name, value string) bool { v := h[name]; return len(v) == 1 && v[0] == value }
	return one("Content-Type", "application/json") && one("Accept", "application/json") && len(h["Content-Encoding"]) == 0
}

// answerHot writes an answer as huma would.
func (s *server) answerHot(w http.ResponseWriter, index string, out any) {
	header := w.Header()
	header["Content-Type"] = []string{"application/json"}
	if index != "" {
		header[headIndex] = []string{index}
	}
	w.WriteHeader(http.StatusOK)
	_ = s.buffers.encode(w, out) // every answer can be encoded: huma would panic with one that cannot
}

// refuseHot writes a refusal as huma would.
func (s *server) refuseHot(ctx context.Context, w http.ResponseWriter, err error) {
	p := s.refusal(ctx, err)
	maps.Copy(w.Header(), p.GetHeaders())
	w.Header().Set("Content-Type", problemType)
	w.WriteHeader(p.Status)
	_ = s.buffers.encode(w, p) // as above
}

// takeWrite reads the parameters of a write that has none but its key.
func takeWrite(r *http.Request) (p WriteParams, ok bool) {
	if r.URL.RawQuery != "" {
		return p, false
	}
	switch keys := r.Header[headKey]; len(keys) {
	case 0:
	case 1:
		p.Key = keys[0]
	default:
		return p, false
	}
	return p, len(p.Key) <= api.MaxKeyLen
}

func takeLeases(r *http.Request, body []byte) (*requestLeasesIn, bool) {
	p, ok := takeWrite(r)
	in := &requestLeasesIn{WriteParams: p}
	return in, ok && quick.Read(body, &in.Body)
}

func takeBatch(r *http.Request, body []byte) (*requestBatchIn, bool) {
	p, ok := takeWrite(r)
	in := &requestBatchIn{WriteParams: p}
	return in, ok && quick.Read(body, &in.Body)
}

func takeReport(r *http.Request, body []byte) (*reportIn, bool) {
	in := &reportIn{Cell: r.PathValue("c")}
	return in, r.URL.RawQuery == "" && quick.Read(body, &in.Body)
}

func takePeerReport(r *http.Request, body []byte) (*peerReportIn, bool) {
	q := r.URL.Query()
	in := &peerReportIn{Provider: q.Get("provider"), Cell: q.Get("cell_id")}
	for _, name := range []string{in.Provider, in.Cell} {
		if name == "" || len(name) > api.MaxNameLen {
			return nil, false
		}
	}
	plain := len(q) == 2 && len(q["provider"]) == 1 && len(q["cell_id"]) == 1
	return in, plain && quick.Read(body, &in.Body)
}
