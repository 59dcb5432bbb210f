package node

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/grafos/grafos/capbroker/pki"
	"github.com/grafos/grafos/cluster"
)

// requestMetrics count what is answered, and how fast. A route is a pattern of the table and
// a method one that some route has, so that what they make is bounded.
type requestMetrics struct {
	took *prometheus.HistogramVec

	mu    sync.Mutex                                         // held while known grows
	known atomic.Pointer[map[requestKey]prometheus.Observer] // by what is asked; read by every request
}

type requestKey struct {
	route, method string
	class         int // the status' first digit; 0 is that nothing was answered
}

func newRequestMetrics() *requestMetrics {
	m := &requestMetrics{took: prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "grafos_http_request_seconds",
		Help: "Requests by route and class of status, and how long they took; streams and blocking reads until they ended.",
		// From a read of memory to what a request may take at most.
		Buckets: []float64{0.001, 0.005, 0.025, 0.1, 0.5, 2, 10, 60},
	}, []string{"route", "method", "class"})}
	m.known.Store(&map[requestKey]prometheus.Observer{})
	return m
}

// observe counts one answer.
func (m *requestMetrics) observe(route, method string, status int, took time.Duration) {
	k := requestKey{route, method, status / 100}
	if route == "" { // nothing of ours was asked for, with whatever method
		k.route, k.method = "none", "none"
	}
	o, ok := (*m.known.Load())[k]
	if !ok {
		o = m.learn(k)
	}
	o.Observe(took.Seconds())
}

// statusClass names a class of status; what is none is one class.
func statusClass(first int) string {
	if first < 1 || first > 5 {
		return "none"
	}
	return strconv.Itoa(first) + "xx"
}

func (m *requestMetrics) learn(k requestKey) prometheus.Observer {
	m.mu.Lock()
	defer m.mu.Unlock()
	o := m.took.WithLabelValues(k.route, k.method, statusClass(k.class))
	known := maps.Clone(*m.known.Load())
	known[k] = o
	m.known.Store(&known)
	return o
}

// snapshotMetrics is the newest snapshot that Raft has on this disk.
type snapshotMetrics struct{ dir string }

// newest finds it; nil is none.
func (s snapshotMetrics) newest() os.FileInfo {
	names, err := filepath.Glob(filepath.Join(raftDir(s.dir), "snapshots", "*.snap"))
	if err != nil {
		return nil // the pattern is good
	}
	var newest os.FileInfo
	for _, name := range names {
		if info, err := os.Stat(name); err == nil && (newest == nil || info.ModTime().After(newest.ModTime())) {
			newest = info
		}
	}
	return newest
}

// age is NaN where there is none.
func (s snapshotMetrics) age() float64 {
	if info := s.newest(); info != nil {
		return time.Since(info.ModTime()).Seconds()
	}
	return math.NaN()
}

// bytes is 0 where there is none.
func (s snapshotMetrics) bytes() float64 {
	if info := s.newest(); info != nil {
		return float64(info.Size())
	}
	return 0
}

// outcome is how something went last: 1 well, 0 not, NaN where it was not done yet.
type outcome struct{ last atomic.Pointer[bool] }

func (o *outcome) set(err error) {
	well := err == nil
	o.last.Store(&well)
}

func (o *outcome) value() float64 {
	switch well := o.last.Load(); {
	case well == nil:
		return math.NaN()
	case *well:
		return 1
	}
	return 0
}

// snapshotOutcome is outcome of the snapshots that a node takes for its log.
func snapshotOutcome(n *cluster.Node) float64 {
	var o outcome
	if last := n.LastSnapshot(); last != nil {
		o.set(last.Err)
	}
	return o.value()
}

// daysLeft is how many days of 24 hours are left until then; less than none when it is past.
func daysLeft(until time.Time) float64 { return time.Until(until).Hours() / 24 }

// certificateEnds are the ends of the certificates that a scheduler lives by, by what they are.
func certificateEnds(m *pki.Material, own func() (*tls.Certificate, error)) (map[string]time.Time, error) {
	cert, err := own()
	if err != nil {
		return nil, fmt.Errorf("read this scheduler's certificate: %w", err)
	}
	leaf, err := x509.ParseCertificate(cert.Certificate[0])
	if err != nil {
		return nil, fmt.Errorf("read this scheduler's certificate: %w", err)
	}
	return map[string]time.Time{"ca": m.CA.NotAfter, "scheduler": leaf.NotAfter}, nil
}
