package main

import (
	"fmt"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/fsm"
)

// Bounds of an entry as the leader's planner makes it.
const (
	maxGroup   = 256
	groupBytes = 64 << 10
)

const startWall = int64(1_800_000_000_000)

// world is a state machine and what a leader and the cells know of it.
type world struct {
	m       *fsm.Machine
	cells   int
	tenants int
	index   uint64
	tick    api.Tick
	epoch   uint64 // of the newest lease
	n       uint64 // makes names
	keyed   bool   // grants carry idempotency keys
	// made are the live leases, oldest first.
	made []made
}

type made struct {
	id    api.LeaseID
	epoch uint64
	cell  int
}

func (w *world) cellID(i int) api.CellID { return api.CellID(fmt.Sprintf("aws-%04d", i)) }

// newWorld makes tenants with quotas and ready cells.
func newWorld(cells, tenants int) (*world, error) {
	w := &world{m: fsm.New(fsm.Options{Log: hclog.NewNullLogger()}), cells: cells, tenants: tenants, keyed: true}
	cs := []fsm.Command{fsm.InitCluster{ClusterID: "g-bench", Providers: []api.Provider{{ID: "aws", Enabled: true}}}}
	for i := range tenants {
		quota := api.Quota{CPU: 1 << 40, Mem: 1 << 42, Block: 1 << 42, Net: 1 << 40, GPU: 1 << 20, Leases: 1 << 30}
		cs = append(cs, fsm.CreateTenant{Actor: "operator/root", Tenant: tenantID(i), Quota: quota})
	}
	if err := w.commit(cs...); err != nil {
		return nil, err
	}
	capacity := api.Resources{CPU: 1 << 30, Mem: 1 << 42, Block: 1 << 42, Net: 1 << 40, GPU: 8}
	yes := &api.Condition{Met: true}
	for i := range cells {
		c := w.cellID(i)
		err := w.commit(
			fsm.RegisterCell{
				Actor: "cell/aws/" + string(c), Provider: "aws", Cell: c, Agent: fmt.Sprintf("agent-%d", i), BrokerKey: fmt.Sprintf("%064x", i),
				Identity: api.Identity{SPKI: fmt.Sprintf("%064x", i), Serial: "01", NotAfter: 1_900_000_000}, DataURL: dataURL(i), Version: "v0.1.0",
			},
			fsm.ReportCell{Cell: c, Epoch: 1, Inventory: &api.InventoryReport{Capacity: capacity, Inventory: api.Inventory{TotalCPU: 96, Zone: "z1"}}},
			fsm.ChangeHealth{Changes: []fsm.HealthChange{{Cell: c, Epoch: 1, Healthy: yes, Outbound: yes}}})
		if err != nil {
			return nil, err
		}
	}
	return w, nil
}

func tenantID(i int) api.TenantID { return api.TenantID(fmt.Sprintf("tenant-%03d", i)) }

func dataURL(i int) string { return fmt.Sprintf("https://10.0.%d.%d:7500", i/250, i%250) }

// scramble makes numbers that come in no order, the same ones every time.
func scramble(n uint64) uint64 {
	n = (n ^ n>>30) * 0xbf58476d1ce4e5b9
	n = (n ^ n>>27) * 0x94d049bb133111eb
	return n ^ n>>31
}

// grant makes the next lease request as the planner places it.
func (w *world) grant() (fsm.GrantLeases, made) {
	w.n++
	h, g := scramble(w.n), scramble(^w.n)
	cell, tenant := int(h%uint64(w.cells)), tenantID(int(h>>20)%w.tenants)
	id := api.LeaseID(fmt.Sprintf("l-%016x", h))
	c := fsm.GrantLeases{
		Actor: "tenant/" + string(tenant), Tenant: tenant, Provider: "aws", Cell: w.cellID(cell), CellEpoch: 1,
		Priority: api.PriorityStandard, TTLMs: 3_600_000,
		Stamp: api.Stamp{BootID: fmt.Sprintf("%08x-9f54-4c1d-8a55-0123456789ab", cell), BootTime: int64(w.tick) + 5_000_000_000_000},
		Items: []fsm.GrantItem{{ID: id, Kind: api.KindMem, Use: api.UseRegion, Amount: 64 << 20}},
	}
	if w.keyed {
		c.Idem = fsm.Idem{
			Scope: "tenant/" + string(tenant), Hash: fmt.Sprintf("%016x%016x", g, h^g),
			Key: fmt.Sprintf("%08x-%04x-4%03x-a%03x-%012x", h>>32, h&0xffff, g&0xfff, g>>12&0xfff, g>>16),
		}
	}
	return c, made{id: id, cell: cell}
}

// entry encodes commands as the leader does.
func (w *world) entry(cs ...fsm.Command) (*raft.Log, error) {
	w.tick += 1_000_000
	b, err := fsm.EncodeEntry(fsm.Entry{Tick: w.tick, Wall: startWall + int64(w.tick)/1_000_000, Commands: cs})
	if err != nil {
		return nil, err
	}
	w.index++
	return &raft.Log{Index: w.index, Term: 1, Type: raft.LogCommand, Data: b}, nil
}

// check finds what no entry of this benchmark may come to.
func check(out any) error {
	results, ok := out.([]fsm.Result)
	if !ok {
		return fmt.Errorf("the state machine stopped: %v", out)
	}
	for _, r := range results {
		if r.Problem != nil {
			return r.Problem
		}
		if len(r.Refused) > 0 {
			return fmt.Errorf("refused of a report: %+v", r.Refused[0])
		}
	}
	return nil
}

func (w *world) commit(cs ...fsm.Command) error {
	l, err := w.entry(cs...)
	if err != nil {
		return err
	}
	return check(w.m.Apply(l))
}

// grants makes the commands of one entry, at most n, and what they will have made.
func (w *world) grants(n int) ([]fsm.Command, []made) {
	var cs []fsm.Command
	var leases []made
	size := 0
	for len(cs) < n {
		c, l := w.grant()
		size += fsm.EncodedSize(c)
		if size > groupBytes {
			break
		}
		w.epoch++
		l.epoch = w.epoch
		cs, leases = append(cs, c), append(leases, l)
	}
	return cs, leases
}

// reports makes what the cells say of leases: one report a cell, as control makes them.
func (w *world) reports(leases []made, add func(*fsm.ReportCell, made)) []fsm.Command {
	of := map[int]*fsm.ReportCell{}
	var order []int
	for _, l := range leases {
		r, ok := of[l.cell]
		if !ok {
			r = &fsm.ReportCell{Cell: w.cellID(l.cell), Epoch: 1}
			of[l.cell], order = r, append(order, l.cell)
		}
		add(r, l)
	}
	cs := make([]fsm.Command, len(order))
	for i, c := range order {
		cs[i] = of[c]
	}
	return cs
}

func bind(r *fsm.ReportCell, l made) {
	r.Bound = append(r.Bound, api.BoundReport{LeaseID: l.id, Generation: 1, Epoch: l.epoch, Coordinate: dataURL(l.cell) + "/v1/leases/" + string(l.id)})
}

func tearDown(r *fsm.ReportCell, l made) {
	r.Ended = append(r.Ended, api.EndedReport{LeaseID: l.id, Epoch: l.epoch, State: api.LeaseTornDown, Reason: "released"})
}

func (w *world) frees(leases []made) []fsm.Command {
	cs := make([]fsm.Command, len(leases))
	for i, l := range leases {
		cs[i] = fsm.FreeLease{Actor: "tenant/acme", Lease: l.id}
	}
	return cs
}

// fill grants and binds until n leases are live.
func (w *world) fill(n int) error {
	for len(w.made) < n {
		cs, leases := w.grants(min(maxGroup, n-len(w.made)))
		if err := w.commit(cs...); err != nil {
			return err
		}
		if err := w.commit(w.reports(leases, bind)...); err != nil {
			return err
		}
		w.made = append(w.made, leases...)
	}
	return nil
}
