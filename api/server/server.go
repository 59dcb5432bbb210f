package server

import (
	"fmt"
	"net/http"
	"path"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/grafos/grafos/api"
)

// server is the handler that New returns.
type server struct {
	config  Config
	head    func() Head
	router  *router
	huma    huma.API
	openAPI []byte
	short   limiter // requests that end soon
	long    limiter // streams and blocking reads
	inner   limiter // cells and schedulers
	cells   limiter // the sessions of cells, which last
	nobody  limiter // who has proved nothing yet: they take no room from those who have
	each    *share  // of long, by user
	eachOf  *share  // of cells, by cell
	buffers buffers
	// bodyTime is how long a bounded body may take to arrive.
	bodyTime time.Duration
}

// New returns the handler of every route. TLS is the caller's: the handler reads the client
// certificate, whose chain the listener has verified, from the request.
func New(c Config) (http.Handler, error) {
	s, err := newServer(c)
	if err != nil {
		return nil, err
	}
	return s, nil
}

func newServer(c Config) (*server, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	c = c.withDefaults()
	s := &server{
		config: c, head: c.Head, router: newRouter(),
		short: newLimiter(c.MaxInFlight), long: newLimiter(longShare * c.MaxInFlight), inner: newLimiter(longShare * c.MaxInFlight), cells: newLimiter(c.MaxSessions),
		nobody: newLimiter(max(c.MaxInFlight/openShare, 1)), each: newShare(c.MaxPerCaller), eachOf: newShare(sessionsOfOne),
		bodyTime: bodyTime,
	}
	s.huma = newAPI(s)
	for _, r := range s.routes() {
		r.bind(s, r)
	}
	doc, err := finishOpenAPI(s.huma.OpenAPI())
	if err != nil {
		return nil, fmt.Errorf("describe the api: %w", err)
	}
	s.openAPI = doc
	return s, nil
}

// ServeHTTP serves one request.
func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	x := newExchange(s, w, r)
	defer x.finish()
	if r.URL.Path == "" || r.URL.Path[0] != '/' || path.Clean(r.URL.Path) != strings.TrimSuffix(r.URL.Path, "/") && r.URL.Path != "/" {
		x.refuse(api.Refuse(api.NotFound, "path %q is not a plain path", clip(r.URL.Path, 200)))
		return
	}
	s.router.serve(x, r)
}
