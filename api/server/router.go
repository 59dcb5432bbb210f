package server

import (
	"net/http"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/grafos/grafos/api"
)

// router is a http.ServeMux that also knows paths whose last segment is "{id}:verb", which
// the mux cannot, and that refuses in problem documents.
type router struct {
	mux   *http.ServeMux
	nodes map[string]*node // by the path without a verb
	// wrap puts the guard of the route that huma is registering round its handler.
	wrap func(http.HandlerFunc) http.HandlerFunc
}

// node is one path: its methods, and those of its verbs.
type node struct {
	param string // the name of the last segment; "" when that is fixed
	verbs map[string]methods
}

// methods are the handlers of one path and verb.
type methods map[string]http.HandlerFunc

func newRouter() *router {
	rt := &router{mux: http.NewServeMux(), nodes: map[string]*node{}}
	rt.mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { refuseHere(w, r, noPath(r)) })
	return rt
}

// Handle registers a typed route; it makes the router a huma.Adapter.
func (rt *router) Handle(op *huma.Operation, handler func(huma.Context)) {
	rt.handle(op.Method, op.Path, rt.wrap(func(w http.ResponseWriter, r *http.Request) {
		handler(humago.NewContext(op, r, w))
	}))
}

// ServeHTTP makes the router a huma.Adapter.
func (rt *router) ServeHTTP(w http.ResponseWriter, r *http.Request) { rt.mux.ServeHTTP(w, r) }

// serve serves one exchange.
func (rt *router) serve(x *exchange, r *http.Request) { rt.mux.ServeHTTP(x, r) }

// handle registers a handler. A path that ends in "/" stands for everything below it.
func (rt *router) handle(method, pattern string, h http.HandlerFunc) {
	base, param, verb := splitVerb(pattern)
	n, ok := rt.nodes[base]
	if !ok {
		n = &node{param: param, verbs: map[string]methods{}}
		rt.nodes[base] = n
		rt.mux.Handle(base, n)
	}
	if n.verbs[verb] == nil {
		n.verbs[verb] = methods{}
	}
	n.verbs[verb][method] = h
}

// splitVerb splits "/leases/{id}:renew" into "/leases/{id}", "id" and "renew".
func splitVerb(pattern string) (base, param, verb string) {
	i := strings.LastIndexByte(pattern, '/')
	last := pattern[i+1:]
	if !strings.HasPrefix(last, "{") {
		return pattern, "", ""
	}
	name, rest, _ := strings.Cut(last[1:], "}")
	return pattern[:i+1] + "{" + name + "}", name, strings.TrimPrefix(rest, ":")
}

// ServeHTTP finds the handler of the verb and the method.
func (n *node) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	found := n.verbs[""]
	if n.param != "" {
		value := r.PathValue(n.param)
		// A digest has a colon too: only a verb that exists is one.
		if i := strings.LastIndexByte(value, ':'); i >= 0 && n.verbs[value[i+1:]] != nil && value[i+1:] != "" {
			r.SetPathValue(n.param, value[:i])
			found = n.verbs[value[i+1:]]
		} else if i >= 0 && len(n.verbs) > 1 {
			found = nil // a verb that does not exist
		}
	}
	if found == nil {
		refuseHere(w, r, noPath(r))
		return
	}
	h, ok := found[r.Method]
	if !ok && r.Method == http.MethodHead {
		h, ok = found[http.MethodGet]
	}
	if !ok {
		w.Header().Set("Allow", strings.Join(found.names(), ", "))
		refuseHere(w, r, noMethod(r, found))
		return
	}
	h(w, r)
}

func (m methods) names() []string {
	var names []string
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func noPath(r *http.Request) error {
	return api.Refuse(api.NotFound, "there is no %s", clip(r.URL.Path, 200)).WithHint("the paths are listed at /api/v1/openapi.json")
}

// noMethod keeps the status that HTTP has for it; no kind does.
func noMethod(r *http.Request, found methods) error {
	e := api.Refuse(api.InvalidArgument, "%s does not take %s: it takes %s",
		clip(r.URL.Path, 200), clip(r.Method, 20), strings.Join(found.names(), ", "))
	e.Status = http.StatusMethodNotAllowed
	return e
}

// refuseHere refuses from inside the mux, whose writer is always an exchange.
func refuseHere(w http.ResponseWriter, r *http.Request, err error) {
	x, ok := w.(*exchange)
	if !ok {
		http.Error(w, err.Error(), http.StatusNotFound)
		return
	}
	x.server.turnAway(x, r, err)
}
