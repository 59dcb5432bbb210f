package cellagent

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"time"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/api/client"
	wall "github.com/grafos/grafos/api/clock"
	"github.com/grafos/grafos/capbroker"
	"github.com/grafos/grafos/capbroker/pki"
	"github.com/grafos/grafos/cellagent/binding"
	"github.com/grafos/grafos/cellagent/ledger"
	"github.com/grafos/grafos/cellagent/tasklet"
	"github.com/grafos/grafos/cellagent/work"
)

// Open starts a cell: it takes the directory, reads what an earlier agent has accepted and fenced, wipes what else it left, reads the
// hardware and starts the data plane, and returns. Registering and everything after it goes on
// behind it, for as long as it takes; Wait tells when it cannot. ctx bounds Open and is what
// Wait watches; Close ends the agent.
func Open(ctx context.Context, c Config) (*Agent, error) {
	if err := c.Validate(); err != nil {
		return nil, fmt.Errorf("check cell config: %w", err)
	}
	d, err := openDeps(ctx, c)
	if err != nil {
		return nil, errors.Join(err, d.close())
	}
	return Start(ctx, c, d)
}

// openDeps opens the real things. What was opened before it failed is in the answer too.
func openDeps(ctx context.Context, c Config) (Deps, error) {
	d := Deps{Random: rand.Reader}
	lock, err := lockDir(c.Dir)
	if err != nil {
		return d, err
	}
	d.Release = lock.release
	if err := wipe(c.Dir); err != nil {
		return d, err
	}
	clock, err := openBootClock()
	if err != nil {
		return d, err
	}
	d.Clock = clock
	if err := d.openLedger(c); err != nil {
		return d, err
	}
	d.Dial = dialerOf(c)
	d.Identity = c.Identity
	faults, err := faultsOf(c)
	if err != nil {
		return d, err
	}
	broker, err := capbroker.New(capbroker.Config{
		ClusterID: c.ClusterID, Cell: c.CellID, Now: anchoredWall(clock, wall.System().Wall()), Key: brokerKey(c.CellID, faults),
	})
	if err != nil {
		return d, fmt.Errorf("open broker: %w", err)
	}
	d.Broker = tokenBroker{broker}
	if err := d.openRunner(ctx, c); err != nil {
		return d, err
	}
	if err := d.openHost(ctx, c, faults); err != nil {
		return d, err
	}
	return d, d.openListener(ctx, c)
}

// openRunner starts the tasklet runner, and takes from it how workers are confined.
func (d *Deps) openRunner(ctx context.Context, c Config) error {
	r, err := tasklet.Open(ctx, tasklet.Config{
		Exe: c.Exe, Args: c.Args, Dir: filepath.Join(c.Dir, dirCompiled), Log: c.Log.Named("tasklet"),
	})
	if err != nil {
		return fmt.Errorf("open tasklet runner: %w", err)
	}
	d.Runner, d.CPUTier = r, r.Tier
	return d.openProbe(ctx, c, place{zone: c.Zone, rack: c.Rack, labels: c.Labels, isolation: r.Isolation()})
}

// openProbe reads the hardware and refuses to offer more than it, unless that is allowed, or to keep
// more of it than is offered.
func (d *Deps) openProbe(ctx context.Context, c Config, at place) error {
	host, err := probeHost(ctx, c.Dir, at)
	if err != nil {
		return fmt.Errorf("read inventory: %w", err)
	}
	known := ordinalsOf(c.Offer.over(host, c.BlockBytes))
	d.Probe = func(ctx context.Context) (api.Inventory, error) {
		inv, err := probeHost(ctx, c.Dir, at)
		return known.in(c.Offer.over(inv, c.BlockBytes), inv.GPUs), err
	}
	if err := c.Offer.check(host, c.BlockBytes); err != nil {
		return err
	}
	return checkReserve(c.Offer.over(host, c.BlockBytes), c.Reserve)
}

// openLedger reads what agents before this one have accepted here.
func (d *Deps) openLedger(c Config) error {
	f, err := ledger.OpenFile(filepath.Join(c.Dir, dirLedger))
	if err != nil {
		return fmt.Errorf("open ledger: %w", err)
	}
	l, found, err := ledger.Open(f, d.Clock.BootID())
	if err != nil {
		return err
	}
	d.Ledger = l
	log := c.Log.Named("ledger").With("cell_id", string(c.CellID))
	if found.Unwritten != nil {
		log.Error("the ledger cannot be written: nothing new is taken before it can", "error", found.Unwritten)
	}
	switch {
	case found.Damaged > 0:
		log.Error("the ledger is damaged: what it says is taken, what it lost is covered by the registration", "lines", found.Damaged)
	case found.Rebooted:
		log.Info("the ledger is of another boot")
	}
	return nil
}

// openHost opens the bindings over what the hardware has now.
func (d *Deps) openHost(ctx context.Context, c Config, faults *binding.Faults) error {
	inv, err := d.Probe(ctx)
	if err != nil {
		return fmt.Errorf("read inventory: %w", err)
	}
	block, err := blockCapacity(ctx, c.Dir, c.BlockBytes, c.Reserve.Block)
	if err != nil {
		return fmt.Errorf("read disk of %s: %w", c.Dir, err)
	}
	most := capacityOf(inv, c.Reserve, block)
	d.Capacity = func(inv api.Inventory) api.Resources { return least(capacityOf(inv, c.Reserve, block), most) }
	if faults != nil && faults.Corrupts() {
		d.Faults = faults
	}
	var fences []binding.Fence
	for _, e := range d.Ledger.In(ledger.Fenced) {
		fences = append(fences, fenceOf(e))
	}
	var kept []api.Lease
	now := d.Clock.Now()
	for _, e := range d.Ledger.In(ledger.Accepted) {
		if e.Survives(d.Clock.BootID(), now) {
			kept = append(kept, e.Grant())
		}
	}
	h, err := binding.Open(binding.Options{
		Dir: filepath.Join(c.Dir, dirBindings), Capacity: most, Log: c.Log.Named("binding"), Now: d.Clock.Now, Fenced: fences, Kept: kept, Faults: faults,
	})
	if err != nil {
		return fmt.Errorf("open bindings: %w", err)
	}
	d.Host = bindingHost{h}
	return nil
}

// faultsOf returns what is to fail on purpose, and says so loudly.
func faultsOf(c Config) (*binding.Faults, error) {
	if c.TestFaults == "" {
		return nil, nil //nolint:nilnil // no faults are no error
	}
	c.Log.Error("THIS CELL FAILS ON PURPOSE: it is for tests, and keeps no promise", "cell_id", string(c.CellID), "faults", c.TestFaults)
	return binding.ParseFaults(c.TestFaults)
}

// brokerKey is nil, which is a new key, except where a test has to know it.
func brokerKey(cell api.CellID, faults *binding.Faults) ed25519.PrivateKey {
	if faults == nil || !faults.Names(work.FaultKnownKey) {
		return nil
	}
	seed := sha256.Sum256([]byte(cell))
	return ed25519.NewKeyFromSeed(seed[:])
}

// openListener opens the data plane with the cell's certificate. Clients need one too, beside
// the capability token: whoever has none goes through a scheduler.
func (d *Deps) openListener(ctx context.Context, c Config) error {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", c.DataBind)
	if err != nil {
		return fmt.Errorf("listen for data: %w", err)
	}
	d.Listener = tls.NewListener(newBounded(l, connectionsMost), pki.ServerTLS(pki.ServerOptions{
		Cert: c.Credential, Roots: c.Roots, ClusterID: c.ClusterID, Clients: tls.RequireAndVerifyClientCert,
		Roles:      []api.Role{api.RoleOperator, api.RoleTenant},
		NextProtos: []string{"h2", "http/1.1"}, Log: c.Log.Named("data"),
	}))
	return nil
}

// dialerOf makes clients that prove the cell and accept schedulers of its cluster only.
func dialerOf(c Config) Dialer {
	shown := unlessLapsed(c.Credential, wall.System().Wall)
	return func(urls []string, timeout, ping time.Duration) (Fabric, error) {
		return client.New(client.Config{
			URLs: urls, Timeout: timeout, Ping: ping, Log: c.Log.Named("client"), UserAgent: "grafos-cell-agent/" + c.Version,
			TLS: pki.ClientTLS(pki.ClientOptions{
				Cert: shown, Roots: c.Roots, ClusterID: c.ClusterID, Server: api.RoleScheduler,
			}),
		})
	}
}

// tokenBroker is a capbroker.Broker whose claims are an interface.
type tokenBroker struct{ *capbroker.Broker }

// Verify verifies a token.
func (b tokenBroker) Verify(token string) (Claims, error) {
	v, err := b.Broker.Verify(token)
	if err != nil {
		return nil, err // and no claims: a nil inside an interface is not nil
	}
	return v, nil
}

// bindingHost is a binding.Host whose bindings are an interface.
type bindingHost struct{ *binding.Host }

// Bind opens a binding.
func (h bindingHost) Bind(l api.Lease) (Opened, error) {
	b, err := h.Host.Bind(l)
	if b == nil {
		return nil, err // and no binding: a nil inside an interface is not nil
	}
	return b, err
}

// Adopt returns what an agent before this one left.
func (h bindingHost) Adopt(id api.LeaseID) (Opened, bool) {
	b, ok := h.Host.Adopt(id)
	if !ok {
		return nil, false
	}
	return b, true
}

// Fence counts what is fenced.
func (h bindingHost) Fence(e ledger.Entry) { h.Host.Fence(fenceOf(e)) }

func fenceOf(e ledger.Entry) binding.Fence {
	return binding.Fence{Lease: e.Lease, Kind: e.Kind, Amount: e.Amount, Reason: e.Reason, Tenant: e.Tenant, GPU: e.GPU}
}
