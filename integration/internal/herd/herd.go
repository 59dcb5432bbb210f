package herd

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/api/client"
	"github.com/grafos/grafos/capbroker/pki"
)

// Config says which cells there are, and whom they belong to.
type Config struct {
	Material *pki.Material
	// URLs are the schedulers' addresses.
	URLs     []string
	Provider api.ProviderID
	// First is the number of the first cell, Cells how many there are.
	First, Cells int
	// Opening is how many of them may open a standby at a time; 0 is 8. Each cell of a real fleet has
	// a processor of its own for that: here they would only keep one another from being in time. Of those that
	// have no session four times as many may open one: some of them ask schedulers that are no more, and wait.
	Opening int
}

const (
	defaultOpening = 8
	sessionsAtOnce = 4
	// firstHeartbeat is what a cell goes by until it is told.
	firstHeartbeat = 5 * time.Second
)

// Name is the id of the cell with a number.
func Name(n int) api.CellID { return api.CellID(fmt.Sprintf("sim-%05d", n)) }

// Counts say how the cells are.
type Counts struct {
	// Alive are the cells that were not killed, Registered those that have an epoch.
	Alive, Registered int64
	// Active and Standby are the sessions that are open and have said something.
	Active, Standby int64
	// Lost counts the active sessions that ended, Beats the heartbeats that were taken, Failed
	// those that were not.
	Lost, Beats, Failed int64
	// Bound and Ended count what was confirmed of leases.
	Bound, Ended int64
	// Dialed counts the connections, LateActive and LateStandby the sessions that were given up since their first
	// message did not come, Refused those that ended with an error before it, Cut those that did after it.
	Dialed, LateActive, LateStandby, Refused, Cut int64
	// First is the first thing that failed, "" where nothing did.
	First string
}

// Herd is so many running cells.
type Herd struct {
	config Config
	began  time.Time
	door   chan struct{}
	spare  chan struct{} // the same, of standbys
	hushed atomic.Bool
	wg     sync.WaitGroup

	alive, registered, active, standby, lost, beats, failed, bound, ended atomic.Int64
	dialed, lateActive, lateStandby, refused, cut                         atomic.Int64

	mu    sync.Mutex
	stop  []context.CancelFunc // guarded by mu, of the cells that live
	first error                // guarded by mu
}

// Start begins the lives of the cells and returns; ctx ends them.
func Start(ctx context.Context, c Config) *Herd {
	if c.Opening == 0 {
		c.Opening = defaultOpening
	}
	h := &Herd{config: c, began: time.Now(), door: make(chan struct{}, sessionsAtOnce*c.Opening), spare: make(chan struct{}, c.Opening)}
	h.alive.Store(int64(c.Cells))
	for n := range c.Cells {
		life, stop := context.WithCancel(ctx)
		h.stop = append(h.stop, stop)
		h.wg.Go(func() {
			defer h.alive.Add(-1)
			if err := h.live(life, Name(c.First+n)); err != nil && life.Err() == nil {
				h.note(err)
			}
		})
	}
	return h
}

// Counts says how the cells are now.
func (h *Herd) Counts() Counts {
	c := Counts{
		Alive: h.alive.Load(), Registered: h.registered.Load(), Active: h.active.Load(), Standby: h.standby.Load(), Lost: h.lost.Load(),
		Beats: h.beats.Load(), Failed: h.failed.Load(), Bound: h.bound.Load(), Ended: h.ended.Load(),
		Dialed: h.dialed.Load(), LateActive: h.lateActive.Load(), LateStandby: h.lateStandby.Load(), Refused: h.refused.Load(), Cut: h.cut.Load(),
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.first != nil {
		c.First = h.first.Error()
	}
	return c
}

// Hush keeps all heartbeats back, or lets them go again. The sessions stay.
func (h *Herd) Hush(on bool) { h.hushed.Store(on) }

// Kill ends the last n cells that live as a power cut does: nobody is told anything.
func (h *Herd) Kill(n int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	n = min(n, len(h.stop))
	for _, stop := range h.stop[len(h.stop)-n:] {
		stop()
	}
	h.stop = h.stop[:len(h.stop)-n]
}

// Close ends all cells and waits for them.
func (h *Herd) Close() {
	h.Kill(h.config.Cells)
	h.wg.Wait()
}

func (h *Herd) note(err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.first == nil {
		h.first = err
	}
}

// take waits for the turn to open a connection, and returns what ends it. Who wants a standby does not
// stand before those that have no session.
func (h *Herd) take(ctx context.Context, standby bool) (give func(), ok bool) {
	door := h.door
	if standby {
		door = h.spare
	}
	select {
	case door <- struct{}{}:
		return sync.OnceFunc(func() { <-door }), true
	case <-ctx.Done():
		return nil, false
	}
}

// live is one cell's life.
func (h *Herd) live(ctx context.Context, id api.CellID) error {
	cred, err := h.config.Material.Issue(pki.CertRequest{Identity: pki.Identity{
		ClusterID: h.config.Material.ClusterID, Role: api.RoleCell, Provider: h.config.Provider, Cell: id,
	}})
	if err != nil {
		return fmt.Errorf("certify %s: %w", id, err)
	}
	cert, err := cred.TLS()
	if err != nil {
		return fmt.Errorf("certify %s: %w", id, err)
	}
	c := &cell{
		herd: h, id: id, agent: "agent-" + string(id), roster: slices.Clone(h.config.URLs), heartbeat: firstHeartbeat,
		held: map[api.LeaseID]uint64{}, news: make(chan news), turn: make(chan func()), tls: pki.ClientTLS(pki.ClientOptions{
			Cert: func() (*tls.Certificate, error) { return &cert, nil }, Roots: h.config.Material.Pool(),
			ClusterID: h.config.Material.ClusterID, Server: api.RoleScheduler,
		}),
	}
	return c.run(ctx)
}

// dial makes a client of one scheduler, with connections of its own.
func (c *cell) dial(url string) (*client.Client, error) {
	c.herd.dialed.Add(1)
	return client.New(client.Config{URLs: []string{url}, Timeout: reportTime, Ping: api.SessionPing(c.heartbeat), TLS: c.tls, UserAgent: "grafos-herd"})
}

// whole joins what ended a cell and what closing its connections said.
func whole(err error, c *client.Client) error {
	if c == nil {
		return err
	}
	return errors.Join(err, c.Close())
}
