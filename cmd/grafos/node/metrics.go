package node

import (
	"context"
	"math"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"golang.org/x/sys/unix"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/cluster"
	"github.com/grafos/grafos/cluster/gossip"
	"github.com/grafos/grafos/fsm"
)

// measured is what the metrics tell of.
type measured struct {
	node     *cluster.Node
	machine  *fsm.Machine
	drops    *gossip.Drops
	dir      string // of the data
	requests *requestMetrics
	open     *atomic.Int64        // streams and blocking reads of users
	sessions func() int           // of cells
	saved    *outcome             // of the newest archive
	ends     map[string]time.Time // of certificates, by what they are
}

// newMetrics exposes the node in Prometheus' format. Labels carry no ids: their number
// does not grow with the fleet.
func newMetrics(s measured) http.Handler {
	n, m := s.node, s.machine
	r := prometheus.NewRegistry()
	r.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	gauge := func(name, help string, value func() float64) {
		r.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "grafos_" + name, Help: help}, value))
	}
	gauge("raft_is_leader", "1 while this scheduler leads.", func() float64 {
		if n.Leads() {
			return 1
		}
		return 0
	})
	gauge("state_differs", "1 while the schedulers do not agree on the state: an alarm.", func() float64 {
		if n.Differs() != "" {
			return 1
		}
		return 0
	})
	gauge("raft_applied_index", "Index of the newest applied entry.", func() float64 { return float64(m.View().Index()) })
	gauge("raft_term", "Raft's term: it grows by one or more with every change of the leader.", func() float64 { return float64(n.State().Term) })
	gauge("raft_commit_index", "Index of the newest entry that is known to be committed.", func() float64 { return float64(n.State().CommitIndex) })
	gauge("raft_last_contact_seconds", "For how long this scheduler has not heard its leader; 0 on the leader, -1 where it never heard one.", func() float64 {
		if age := n.Age(); age != api.NeverHeard {
			return age.Seconds()
		}
		return -1
	})
	ofLeader := func(name, help string) *prometheus.Desc {
		return prometheus.NewDesc("grafos_"+name, help+"; told by the leader alone.", nil, nil)
	}
	r.MustRegister(&groupMetrics{
		n:         n,
		voters:    ofLeader("raft_voters", "Voters of the group"),
		well:      ofLeader("raft_voters_healthy", "Voters that answer, hear their leader and have caught up"),
		tolerated: ofLeader("raft_failures_tolerated", "How many of the healthy voters may fail"),
	})
	gauge("data_free_bytes", "Free space on the disk of the data directory.", func() float64 { return freeBytes(s.dir) })
	gauge("leases_live", "Leases that have not ended.", func() float64 { return float64(m.View().Counts().LiveLeases) })
	gauge("runs_live", "Runs without a result.", func() float64 { return float64(m.View().Counts().LiveRuns) })
	gauge("tenants", "Tenants.", func() float64 { return float64(m.View().Counts().Tenants) })
	gauge("audit_sequence", "Newest record of the audit chain.", func() float64 { return float64(m.View().AuditHead().Sequence) })
	gauge("idempotency_keys", "Idempotency keys that are kept.", func() float64 { return float64(m.View().Counts().Keys) })
	s.register(r, gauge)
	for _, why := range []gossip.Drop{gossip.DropCluster, gossip.DropKey, gossip.DropMalformed, gossip.DropMember, gossip.DropOld, gossip.DropFull} {
		r.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "grafos_gossip_dropped_total", Help: "What came over gossip and was not taken, by reason.",
			ConstLabels: prometheus.Labels{"reason": string(why)},
		}, func() float64 { return float64(s.drops.Count(why)) }))
	}
	r.MustRegister(&cellMetrics{
		m:     m,
		cells: prometheus.NewDesc("grafos_cells", "Cells by provider and state.", []string{"provider", "state"}, nil),
		silent: prometheus.NewDesc("grafos_mass_silence_cells", "Cells that fell silent with most of their provider: the fault is more likely at the schedulers, or between.",
			[]string{"provider"}, nil),
		unmet: prometheus.NewDesc("grafos_cell_requirement_unmet", "Cells that do not meet a requirement.", []string{"provider", "requirement"}, nil),
	})
	return promhttp.HandlerFor(r, promhttp.HandlerOpts{MaxRequestsInFlight: 4})
}

// register adds what is of this process and its disk.
func (s measured) register(r *prometheus.Registry, gauge func(name, help string, value func() float64)) {
	snapshot := snapshotMetrics{s.dir}
	gauge("snapshot_age_seconds", "Age of the newest snapshot of Raft on this disk; NaN where there is none.", snapshot.age)
	gauge("snapshot_bytes", "Size of the newest snapshot of Raft on this disk; 0 where there is none.", snapshot.bytes)
	gauge("snapshot_last_ok", "1 when the newest snapshot that this scheduler took for its log went well, 0 when it failed, NaN before the first.", func() float64 { return snapshotOutcome(s.node) })
	gauge("archive_last_ok", "1 when the newest scheduled snapshot (snapshot_every) of this scheduler went well, 0 when it failed, NaN before the first.", s.saved.value)
	gauge("streams_open", "Streams and blocking reads of users that are open here.", func() float64 { return float64(s.open.Load()) })
	gauge("cell_sessions", "Sessions of cells that are open here.", func() float64 { return float64(s.sessions()) })
	for what, until := range s.ends {
		r.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "grafos_certificate_days_left", Help: "Days until a certificate of this scheduler ends.",
			ConstLabels: prometheus.Labels{"certificate": what},
		}, func() float64 { return daysLeft(until) }))
	}
	r.MustRegister(s.requests.took)
}

// freeBytes is NaN where the disk does not say.
func freeBytes(dir string) float64 {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return math.NaN()
	}
	return float64(s.Bavail) * float64(s.Bsize)
}

// groupMetrics is the Raft group as its leader sees it.
type groupMetrics struct {
	n                       *cluster.Node
	voters, well, tolerated *prometheus.Desc
}

// Describe names the three families.
func (g *groupMetrics) Describe(ch chan<- *prometheus.Desc) {
	ch <- g.voters
	ch <- g.well
	ch <- g.tolerated
}

// Collect tells nothing where this scheduler does not lead.
func (g *groupMetrics) Collect(ch chan<- prometheus.Metric) {
	list, err := g.n.Members(context.Background())
	if err != nil {
		return
	}
	voters, well := 0, 0
	for _, m := range list.Members {
		if m.Voter {
			voters++
			if m.Healthy {
				well++
			}
		}
	}
	ch <- prometheus.MustNewConstMetric(g.voters, prometheus.GaugeValue, float64(voters))
	ch <- prometheus.MustNewConstMetric(g.well, prometheus.GaugeValue, float64(well))
	ch <- prometheus.MustNewConstMetric(g.tolerated, prometheus.GaugeValue, float64(list.Tolerates))
}

// cellMetrics counts the fleet at scrape time.
type cellMetrics struct {
	m                    *fsm.Machine
	cells, unmet, silent *prometheus.Desc
}

// Describe names the two families.
func (c *cellMetrics) Describe(ch chan<- *prometheus.Desc) {
	ch <- c.cells
	ch <- c.unmet
	ch <- c.silent
}

// Collect counts the cells of the state as it is.
func (c *cellMetrics) Collect(ch chan<- prometheus.Metric) {
	v := c.m.View()
	silent := v.SilentProviders()
	for _, p := range v.Providers() {
		ch <- prometheus.MustNewConstMetric(c.silent, prometheus.GaugeValue, float64(silent[p.ID]), string(p.ID))
		states, unmet := map[api.CellState]int{}, map[api.Requirement]int{}
		v.EachCell(p.ID, func(rec *api.CellRecord) {
			states[v.CellState(*rec)]++
			for _, q := range v.Requirements(rec).Unmet() {
				unmet[q]++
			}
		})
		for state, n := range states {
			ch <- prometheus.MustNewConstMetric(c.cells, prometheus.GaugeValue, float64(n), string(p.ID), string(state))
		}
		for q, n := range unmet {
			ch <- prometheus.MustNewConstMetric(c.unmet, prometheus.GaugeValue, float64(n), string(p.ID), string(q))
		}
	}
}
