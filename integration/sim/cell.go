package sim

import (
	"context"
	"sync"
	"time"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/capbroker"
	"github.com/grafos/grafos/cellagent"
	"github.com/grafos/grafos/cellagent/ledger"
)

const provider = api.ProviderID("sim")

// host is a cell's machine: its clock and its name outlive its agent.
type host struct {
	w    *World
	id   api.CellID
	dir  string
	boot *bootClock
	room api.Resources
	// forger mints as if it were the cell, with a key of its own: as a scheduler might try to.
	forger *capbroker.Broker
	stay
	// disk keeps what its agents have accepted.
	disk ledger.Memory
	// left are the blocks that a dead agent left; only one agent lives at a time.
	left map[api.LeaseID]left
	// sleep is of its workers, which stand still only when the machine is suspended.
	sleep still

	mu    sync.Mutex
	agent *agent // guarded by mu: nil while it is down
}

// agent is one life of a cell.
type agent struct {
	host  *host
	proc  *proc
	agent *cellagent.Agent
	binds *binder
	keeps *custody
	door  *door
}

// mortalDisk is its host's disk, to which nothing is written by a process that has died.
type mortalDisk struct {
	*ledger.Memory
	of *proc
}

// Append keeps p.
func (d *mortalDisk) Append(p []byte) error {
	if d.of.ctx.Err() != nil {
		return errGone
	}
	return d.Memory.Append(p)
}

// Swap puts what was prepared in place.
func (d *mortalDisk) Swap(tail []byte) error {
	if d.of.ctx.Err() != nil {
		return errGone
	}
	return d.Memory.Swap(tail)
}

// brokerClock is that of the tokens: the machine's, as all others on it.
func brokerClock(now func() int64) func() time.Time {
	return func() time.Time { return time.Unix(0, now()).UTC() }
}

// start begins a life of the cell's agent.
func (h *host) start() error {
	w := h.w
	a := &agent{host: h, proc: w.net.born(string(h.id)), door: newDoor()}
	clock := agentClock{h.boot, a.proc}
	a.keeps = newCustody(h, a.proc)
	a.binds = &binder{host: h, proc: a.proc, keeps: a.keeps, open: map[api.LeaseID]*binding{}}
	broker, err := capbroker.New(capbroker.Config{ClusterID: clusterID, Cell: h.id, Now: brokerClock(clock.Now)})
	if err != nil {
		return err
	}
	book, _, err := ledger.Open(&mortalDisk{Memory: &h.disk, of: a.proc}, h.boot.BootID())
	if err != nil {
		return err
	}
	a.binds.find(book)
	a.agent, err = cellagent.Start(a.proc.ctx, cellagent.Config{
		Provider: provider, CellID: h.id, ClusterID: clusterID, Dir: h.dir, Schedulers: w.urls(), Version: "sim", Log: w.log,
	}, cellagent.Deps{
		Clock: clock, Host: a.binds, Runner: &runner{host: h, proc: a.proc}, Broker: minter{broker, a.keeps}, Ledger: book, Random: w.dice,
		Dial: func(urls []string, timeout, _ time.Duration) (cellagent.Fabric, error) {
			return &fabric{w: w, self: a.proc, host: h, keeps: a.keeps, urls: urls, timeout: timeout}, nil
		},
		Probe: func(context.Context) (api.Inventory, error) {
			return api.Inventory{TotalCPU: h.room.CPU / 1000, TotalMem: h.room.Mem, TotalBlock: h.room.Block, TotalNet: h.room.Net, GPUs: []api.GPU{}}, nil
		},
		Capacity: func(api.Inventory) api.Resources { return h.room },
		Listener: a.door,
	})
	if err != nil {
		return err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.agent = a
	return nil
}

// alive is the agent, nil while it is down.
func (h *host) alive() *agent {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.agent
}

// kill ends the agent's life: what it had bound is gone with it.
func (h *host) kill() {
	h.mu.Lock()
	a := h.agent
	h.agent = nil
	h.mu.Unlock()
	if a == nil {
		return
	}
	h.w.net.die(a.proc)
	a.binds.vanish()
	if err := a.agent.Close(); err != nil {
		h.w.log.Debug("cell ended", "cell_id", string(h.id), "error", err)
	}
}

// fell kills the agent, and keeps it down until up is called.
func (h *host) fell() (up func()) {
	h.hold(1)
	h.kill()
	return func() { h.hold(-1) }
}

func (h *host) up() bool { return h.alive() != nil }

// held counts what is bound on the cell.
func (h *host) held() int {
	a := h.alive()
	if a == nil {
		return 0
	}
	return a.binds.count()
}
