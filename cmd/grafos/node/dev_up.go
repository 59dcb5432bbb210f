package node

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/api/client"
	"github.com/grafos/grafos/capbroker/pki"
	"github.com/grafos/grafos/cmd/grafos/internal/ui"
)

const (
	upTime      = 30 * time.Second
	restartTime = 10 * time.Second
	poll        = 20 * time.Millisecond
)

// upper brings a dev cluster up.
type upper struct {
	dev   *dev
	ui    *ui.UI
	began time.Time
	// offer is the flags of what each cell offers.
	offer []string
	// leader is when the first write was committed, after began.
	leader time.Duration
}

func (u *upper) run(ctx context.Context, schedulers, cells int) error {
	life := ctx
	ctx, cancel := context.WithTimeout(ctx, upTime)
	defer cancel()
	err := u.up(ctx, schedulers, cells)
	if err != nil && life.Err() != nil {
		return api.Refuse(api.OutcomeUnknown, "interrupted: what was started of the dev cluster stays").
			WithHint("grafos dev up goes on with it, grafos dev down ends it")
	}
	if err != nil && ctx.Err() != nil {
		return api.Refuse(api.NoLeader, "the dev cluster was not ready within %s: %v", upTime, err).
			WithHint("look into the logs: %s", u.dev.path("logs"))
	}
	return err
}

func (u *upper) up(ctx context.Context, schedulers, cells int) error {
	d := u.dev
	if d.state.empty() {
		if err := u.create(ctx, schedulers, cells); err != nil {
			return err
		}
	} else if len(d.state.Schedulers) != schedulers || len(d.state.Cells) != cells {
		if u.running() {
			return api.Refuse(api.Conflict, "a dev cluster of %s and %s runs in %s already", api.Count(len(d.state.Schedulers), "scheduler"), api.Count(len(d.state.Cells), "cell"), d.dir).
				WithHint("take it down first: grafos dev down")
		}
	}
	if err := u.offerCells(); err != nil {
		return err
	}
	// What was started is written down whatever happened: dev down must find it.
	if err := errors.Join(u.startSchedulers(), d.save()); err != nil {
		return err
	}
	c, err := d.client()
	if err != nil {
		return err
	}
	err = u.settle(ctx, c)
	return errors.Join(err, c.Close())
}

// offerCells has the cells that do not run offer what was asked for. One that runs offers what it
// was started with.
func (u *upper) offerCells() error {
	if len(u.offer) == 0 {
		return nil
	}
	for _, n := range u.dev.state.Cells {
		if n.alive() && !slices.Equal(n.Offer, u.offer) {
			return api.Refuse(api.Conflict, "%s runs already and offers something else", n.Name).
				WithHint("take the cluster down first: grafos dev down")
		}
		n.Offer = u.offer
	}
	return nil
}

func (u *upper) startSchedulers() error {
	for _, s := range u.dev.state.Schedulers {
		if s.alive() {
			continue
		}
		if err := s.start(u.dev); err != nil {
			return err
		}
	}
	return nil
}

func (u *upper) running() bool {
	for _, n := range u.dev.nodes() {
		if n.alive() {
			return true
		}
	}
	return false
}

// settle waits for a leader, makes the tenant, joins the cells and waits for them.
func (u *upper) settle(ctx context.Context, c *client.Client) error {
	if _, err := c.CreateTenant(ctx, devTenant, api.WriteOptions{IdempotencyKey: "dev-up-" + u.dev.state.ClusterID}); err != nil &&
		api.KindOf(err) != api.Conflict {
		return fmt.Errorf("wait for a leader: %w", err)
	}
	u.leader = time.Since(u.began)
	u.ui.Progress(ui.Span{Text: fmt.Sprintf("leader elected after %s", u.leader.Round(10*time.Millisecond))})
	before := u.dev.epochs(ctx, c)
	for _, n := range u.dev.state.Cells {
		if n.alive() {
			delete(before, n.Name) // it is not started, and keeps its epoch
		}
	}
	cells, err := u.welcome(ctx, c)
	if err != nil {
		return err
	}
	if err := errors.Join(u.joinCells(ctx, cells), u.dev.save()); err != nil {
		return err
	}
	return u.dev.waitCells(ctx, c, cells, before)
}

// welcome lists the cells that can come up: not those whose identity was revoked.
func (u *upper) welcome(ctx context.Context, c *client.Client) ([]*devNode, error) {
	list, err := c.ListCells(ctx, "", api.ReadOptions{})
	if err != nil {
		return nil, fmt.Errorf("ask for the cells: %w", err)
	}
	barred := map[string]bool{}
	for _, cell := range list.Cells {
		barred[string(cell.CellID)] = cell.State == api.CellRevoked
	}
	var cells []*devNode
	for _, n := range u.dev.state.Cells {
		if barred[n.Name] {
			u.ui.Progress(ui.Span{Text: n.Name + " was revoked and stays down"})
			continue
		}
		cells = append(cells, n)
	}
	return cells, nil
}

// create writes the material, an operator's certificate and what every node is started with.
func (u *upper) create(ctx context.Context, schedulers, cells int) error {
	d := u.dev
	if err := d.clear(); err != nil {
		return err
	}
	m, err := pki.InitMaterial(d.path(materialDir), pki.InitOptions{})
	if err != nil {
		return err
	}
	op := pki.Identity{ClusterID: m.ClusterID, Role: api.RoleOperator, Name: "dev"}
	if _, err := issueTo(m, pki.CertRequest{Identity: op}, d.path("operator")); err != nil {
		return err
	}
	if err := os.MkdirAll(d.path("logs"), 0o700); err != nil {
		return fmt.Errorf("make log folder: %w", err)
	}
	ports, err := freePorts(ctx, 3*schedulers+cells)
	if err != nil {
		return err
	}
	d.state = devState{
		ClusterID: m.ClusterID, CA: "operator/ca.pem", Cert: "operator/cert.pem", Key: "operator/key.pem", Tenant: devTenant,
	}
	d.describe(ports, schedulers, cells)
	return nil
}

// describe says how every node is started. A cell's ports come after the schedulers'.
func (d *dev) describe(ports []int, schedulers, cells int) {
	var gossip []string
	for i := range schedulers {
		gossip = append(gossip, loopback(ports[3*i+2]))
	}
	for i := range schedulers {
		name := fmt.Sprintf("s%d", i+1)
		d.state.Schedulers = append(d.state.Schedulers, &devNode{
			Name: name, URL: "https://" + loopback(ports[3*i]), Log: "logs/" + name + ".log",
			Args: []string{
				"server", "--name", name, "--data-dir", d.path("nodes", name), "--material", d.path(materialDir),
				"--bind", loopback(ports[3*i]), "--raft-bind", loopback(ports[3*i+1]), "--gossip-bind", gossip[i],
				"--bootstrap-expect", fmt.Sprint(schedulers), "--join", strings.Join(gossip, ","), "--providers", devProvider,
				"--heartbeat", "250ms", "--heartbeat-limit", "3s", "--warmup", "1s", "--stable", "2s",
			},
		})
	}
	for i := range cells {
		name := fmt.Sprintf("%s-%d", devProvider, i+1)
		d.state.Cells = append(d.state.Cells, &devNode{
			Name: name, Log: "logs/" + name + ".log",
			Args: []string{
				"cell-agent", "--identity", d.path("nodes", name, "identity"), "--data-dir", d.path("nodes", name, "data"),
				"--data-bind", loopback(ports[3*schedulers+i]), "--zone", "dev", "--rack", name,
			},
		})
	}
}

// joinCells gives every cell its identity, as a host gets it, and starts its agent.
func (u *upper) joinCells(ctx context.Context, cells []*devNode) error {
	m, err := pki.LoadMaterial(u.dev.path(materialDir))
	if err != nil {
		return err
	}
	errs := make([]error, len(cells))
	var wg sync.WaitGroup
	for i, n := range cells {
		if n.alive() {
			continue
		}
		wg.Go(func() {
			if errs[i] = u.identify(ctx, m, n); errs[i] == nil {
				errs[i] = n.start(u.dev)
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

func (u *upper) identify(ctx context.Context, m *pki.Material, n *devNode) error {
	dir := u.dev.path("nodes", n.Name, "identity")
	if _, err := loadCell(dir); err == nil {
		return nil
	}
	token, err := mintToken(m, devProvider, api.CellID(n.Name), time.Minute, 1)
	if err != nil {
		return err
	}
	_, err = bootstrapCell(ctx, bootstrapOptions{
		Provider: devProvider, CellID: api.CellID(n.Name), Token: token.Token,
		Scheduler: strings.Join(u.dev.urls(), ","), Dir: dir,
	})
	return err
}

// epochs returns at which epoch each cell is. Where nobody can tell, it is as if no cell had
// ever been there.
func (d *dev) epochs(ctx context.Context, c *client.Client) map[string]uint64 {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	before := map[string]uint64{}
	list, err := c.ListCells(ctx, "", api.ReadOptions{})
	if err != nil {
		return before
	}
	for _, cell := range list.Cells {
		before[string(cell.CellID)] = cell.Epoch
	}
	return before
}

// waitCells waits until each of the nodes is a ready cell, in a later epoch than before: what
// is known of an agent that ended stays ready for one heartbeat limit.
func (d *dev) waitCells(ctx context.Context, c *client.Client, nodes []*devNode, before map[string]uint64) error {
	for {
		list, err := c.ListCells(ctx, "", api.ReadOptions{})
		if err != nil {
			return fmt.Errorf("wait for the cells: %w", err)
		}
		ready := map[string]bool{}
		for _, cell := range list.Cells {
			ready[string(cell.CellID)] = cell.Ready && cell.Epoch > before[string(cell.CellID)]
		}
		missing := ""
		for _, n := range nodes {
			if !n.alive() {
				return n.endedEarly(d, "cell")
			}
			if !ready[n.Name] {
				missing = n.Name
			}
		}
		if missing == "" {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("cell %s is not ready: %w", missing, ctx.Err())
		case <-time.After(poll):
		}
	}
}

// restart ends a node and starts it again; it returns when the node is up.
func (d *dev) restart(ctx context.Context, n *devNode, sig syscall.Signal) error {
	ctx, cancel := context.WithTimeout(ctx, restartTime)
	defer cancel()
	if n.URL != "" {
		if err := d.replace(ctx, n, sig); err != nil {
			return err
		}
		return d.waitScheduler(ctx, n)
	}
	c, err := d.client()
	if err != nil {
		return err
	}
	before := d.epochs(ctx, c)
	if err = d.replace(ctx, n, sig); err == nil {
		err = d.waitCells(ctx, c, []*devNode{n}, before)
	}
	return errors.Join(err, c.Close())
}

// replace ends a node's process, starts another one and writes it down.
func (d *dev) replace(ctx context.Context, n *devNode, sig syscall.Signal) error {
	if err := n.end(ctx, sig); err != nil {
		return err
	}
	return errors.Join(n.start(d), d.save())
}

// waitScheduler waits until a scheduler answers and knows a leader.
func (d *dev) waitScheduler(ctx context.Context, n *devNode) error {
	why := "it does not answer"
	for {
		if !n.alive() {
			return n.endedEarly(d, "scheduler")
		}
		st, err := d.askNode(ctx, n)
		if err == nil && (st.Ready || st.Leader != "") {
			return nil
		}
		if err == nil {
			why = st.NotReady
		}
		select {
		case <-ctx.Done():
			return api.Refuse(api.NoLeader, "scheduler %s is not up after %s: %s", n.Name, restartTime, why).
				WithHint("look into its log: %s", d.path(n.Log))
		case <-time.After(poll):
		}
	}
}

// client returns a client of the whole cluster with the operator's certificate.
func (d *dev) client(urls ...string) (*client.Client, error) {
	if len(urls) == 0 {
		urls = d.urls()
	}
	conn := ui.Connection{
		URLs: urls, CAFile: d.path(d.state.CA), CertFile: d.path(d.state.Cert), KeyFile: d.path(d.state.Key), ClusterID: d.state.ClusterID,
	}
	conf, err := conn.TLS(api.RoleScheduler)
	if err != nil {
		return nil, err
	}
	return client.New(client.Config{URLs: urls, TLS: conf, Timeout: upTime, Log: hclog.NewNullLogger()})
}

// down stops every node, cells first, and removes everything but the logs.
func (d *dev) down(ctx context.Context) ([]string, error) {
	stopped := []string{}
	var mu sync.Mutex
	var errs []error
	for _, group := range [][]*devNode{d.state.Cells, d.state.Schedulers} {
		var wg sync.WaitGroup
		for _, n := range group {
			if !n.alive() {
				continue
			}
			wg.Go(func() {
				err := n.end(ctx, syscall.SIGTERM)
				mu.Lock()
				defer mu.Unlock()
				errs = append(errs, err)
				stopped = append(stopped, n.Name)
			})
		}
		wg.Wait()
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	d.state = devState{}
	return stopped, d.clear()
}

// clear removes what a cluster leaves in the folder, but not its logs.
func (d *dev) clear() error {
	for _, name := range []string{devFile, materialDir, "operator", "nodes"} {
		if err := os.RemoveAll(d.path(name)); err != nil {
			return fmt.Errorf("clear dev folder: %w", err)
		}
	}
	return nil
}
