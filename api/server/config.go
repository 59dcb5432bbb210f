package server

import (
	"context"
	"errors"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/grafos/grafos/api"
)

// Config is what a server serves and how it finds out who asks. All of it is required but
// what says otherwise.
type Config struct {
	Services api.Services
	Agent    api.CellAgent
	Peers    api.Peers
	Leader   Leader
	Auth     Auth
	// Info says what this node is; probes and operators are told.
	Info func() api.NodeState
	// Head says what the headers of every answer tell; nil takes it from Info.
	Head func() Head
	// Console serves the pages below /admin/; nil is none.
	Console http.Handler
	// Metrics serves /metrics; nil is none.
	Metrics http.Handler
	// Standing says why this scheduler may answer nobody; nil is that it may, and no function
	// that it always may.
	Standing func() error
	// CAPEM is the cluster's CA certificate, served at /ca.pem.
	CAPEM []byte
	Log   hclog.Logger
	// MaxInFlight bounds the requests that are worked on at once; 0 is 1024. Streams and
	// blocking reads are bounded by four times as many, and so is what cells and other
	// schedulers ask; what needs no proof, like a bootstrap, by an eighth.
	MaxInFlight int
	// MaxSessions bounds the cells' sessions, the standbys too; 0 is 32768. What cells ask beside them
	// has its own room, as said above.
	MaxSessions int
	// MaxPerCaller bounds the streams and blocking reads of one user at once; 0 is 256.
	MaxPerCaller int
	// SlowReader is how long a reader of a stream may take nothing of it before it is cut off;
	// 0 is 30 s.
	SlowReader time.Duration
	// Stopping ends streams and blocking reads, and nothing else, before the listener is shut
	// down: what is being decided is answered first. nil is that nothing does.
	Stopping context.Context //nolint:containedctx // the node's own life, or a part of it
	// Open counts the streams and blocking reads of users that are open; nil counts nothing.
	Open *atomic.Int64
	// Observe is told of every answer, for metrics; nil is nobody. route is the route's
	// pattern and never holds an id.
	Observe func(route, method string, status int, took time.Duration)
}

// Leader is where decisions are made.
type Leader interface {
	// Locate says where the leader is, and whether that is this node. It waits, at most
	// 5 s, for a leader whose gate is open, and refuses with no_leader after that.
	Locate(ctx context.Context) (url string, self bool, err error)
	// Moved waits until the leader is known to be another than the one at url, at most d, and
	// reports whether it is.
	Moved(ctx context.Context, url string, d time.Duration) bool
	// Transport returns connections that prove this scheduler to the others.
	Transport() http.RoundTripper
}

// Auth proves what is no certificate, and knows who is barred.
type Auth interface {
	// Session returns who a session token was made for.
	Session(cookie string) (api.Caller, error)
	// Login trades a one-time login token for a session token and its seconds of life.
	Login(ctx context.Context, token string) (cookie string, maxAge int, err error)
	// Admit refuses a caller whose certificate is good but who is barred: identity_revoked.
	Admit(c api.Caller) error
	// Bound refuses a cell whose certificate is good but of another key than the cell is bound
	// to: identity_mismatch.
	Bound(ctx context.Context, c api.Caller) error
}

// Head is what the headers of an answer tell: how fresh it is.
type Head struct {
	Node  api.NodeID
	Index uint64
	// Leader is empty when none is known.
	Leader      api.NodeID
	LastContact time.Duration
}

const (
	defaultInFlight   = 1024
	defaultSessions   = 32 << 10
	defaultPerCaller  = 256
	defaultSlowReader = 30 * time.Second
	// sessionsOfOne bounds the sessions of one cell. It has two; what broke off may be held a while.
	sessionsOfOne = 16
	// longShare is how many streams and blocking reads there may be for one request.
	longShare = 4
	// openShare is one request of nobody for how many of the others.
	openShare = 8
)

// check refuses a config with something missing.
func (c Config) check() error {
	missing := map[string]bool{
		"Services": c.Services == nil, "Agent": c.Agent == nil, "Peers": c.Peers == nil, "Leader": c.Leader == nil,
		"Auth": c.Auth == nil, "Info": c.Info == nil, "Log": c.Log == nil,
	}
	var errs []error
	for name, is := range missing {
		if is {
			errs = append(errs, errors.New("server config: "+name+" is missing"))
		}
	}
	if c.MaxInFlight < 0 || c.MaxSessions < 0 || c.MaxPerCaller < 0 || c.SlowReader < 0 {
		errs = append(errs, errors.New("server config: a bound is negative"))
	}
	return errors.Join(errs...)
}

// withDefaults returns c with what was left out filled in.
func (c Config) withDefaults() Config {
	if c.MaxInFlight == 0 {
		c.MaxInFlight = defaultInFlight
	}
	if c.MaxSessions == 0 {
		c.MaxSessions = defaultSessions
	}
	if c.MaxPerCaller == 0 {
		c.MaxPerCaller = defaultPerCaller
	}
	if c.SlowReader == 0 {
		c.SlowReader = defaultSlowReader
	}
	if c.Head == nil {
		c.Head = headOf(c.Info)
	}
	return c
}

// headOf takes what the headers tell from Info.
func headOf(info func() api.NodeState) func() Head {
	return func() Head {
		n := info()
		return Head{
			Node: n.Node, Index: n.AppliedIndex, Leader: n.Leader,
			LastContact: time.Duration(n.LastContactMs) * time.Millisecond,
		}
	}
}
