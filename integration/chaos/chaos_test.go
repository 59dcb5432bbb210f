package chaos

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/integration/internal/fleet"
	"github.com/grafos/grafos/integration/internal/harness"
	"github.com/grafos/grafos/integration/internal/promises"
)

// leastFaults is how many faults must have struck: a plan that ends early proves nothing.
const leastFaults = 60

// TestFaults is the faults of every kind that a change must survive: one cluster of three
// schedulers, then one of five.
func TestFaults(t *testing.T) {
	need(t)
	s, began := seed(t), time.Now()
	var rows []row
	errs := map[string]map[api.Kind]int{}
	var wrong []string
	for _, c := range []struct {
		size
		often func(kind) int
	}{
		{three(), func(k kind) int { return k.three }},
		{five(), func(k kind) int { return k.five }},
	} {
		t.Run(fmt.Sprintf("%d schedulers", c.schedulers), func(t *testing.T) {
			r := suffer(t, s, c.size, plan(s, able(t), c.often), time.Time{})
			rows = append(rows, r.rows...)
			merge(errs, r.load.book.errors)
			wrong = append(wrong, r.said...)
		})
	}
	t.Logf("%d faults in %s\n%s", len(rows), time.Since(began).Round(time.Second), table(rows, errs))
	if len(rows) < leastFaults && os.Getenv("KINDS") == "" {
		t.Errorf("%d faults struck, fewer than %d", len(rows), leastFaults)
	}
	if len(wrong) > 0 { // once more: who sees only the end of the output has the reasons in it
		t.Logf("what went wrong:\n%s", strings.Join(wrong[:min(len(wrong), 5)], "\n"))
	}
}

// size is how large a cluster is, and what keeps its log.
type size struct {
	schedulers, cells int
	logStore          string
}

func three() size { return size{3, 3, "boltdb"} }
func five() size  { return size{5, 2, "wal"} }

// snapshotBytes makes for a snapshot every few faults.
const snapshotBytes = "64K"

// need skips a test where it cannot be, and says why.
func need(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("it takes minutes; run it without -short")
	}
	if err := fleet.Available(); err != nil {
		t.Skipf("real faults need what is not here: %v", err)
	}
}

// able leaves out the kinds of faults whose tool is missing, and says so. KINDS, a regular
// expression, leaves out all that it does not match.
func able(t *testing.T) []kind {
	t.Helper()
	wanted, err := regexp.Compile(os.Getenv("KINDS"))
	if err != nil {
		t.Fatal(err)
	}
	var list []kind
	for _, k := range kinds() {
		if !wanted.MatchString(k.name) {
			continue
		}
		if why := lacking(t.Context(), k); why != "" {
			t.Logf("no %q: it needs %s: %s", k.name, k.needs, why)
			continue
		}
		list = append(list, k)
	}
	return list
}

func merge(into, from map[string]map[api.Kind]int) {
	for phase, counts := range from {
		if into[phase] == nil {
			into[phase] = map[api.Kind]int{}
		}
		for k, n := range counts {
			into[phase][k] += n
		}
	}
}

// suffer puts a new cluster through faults, one after another, until the time is up (zero:
// all of them), and checks everything that its clients were told.
func suffer(t *testing.T, s uint64, of size, faults []fault, until time.Time) *run {
	t.Helper()
	dir := scratch(t)
	f, err := fleet.Up(t.Context(), fleet.Config{
		Bin: binary(t), Dir: dir, Schedulers: of.schedulers, Cells: of.cells, LogStore: of.logStore, Seed: s,
		SnapshotBytes: snapshotBytes,
		SchedulerDisk: 2 << 30, CellDisk: 24 << 20, CellMemory: 96 << 20,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			salvage(t, f, filepath.Join(dir, "data"))
		}
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	})
	r := newRun(t, f)
	if err := r.begin(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	followed := make(chan struct{})
	go func() {
		defer close(followed)
		r.load.events.follow(ctx)
	}()
	defer func() { cancel(); <-followed }()
	stop := r.load.start(ctx)
	defer stop()
	calm := r.goodput(ctx)
	for i, f := range faults {
		if err := r.phase(ctx, i, f); err != nil {
			r.wrong("fault %d: %v", i, err)
			break
		}
		if len(r.load.book.broken()) > 0 || !until.IsZero() && time.Now().After(until) {
			break
		}
	}
	r.regain(ctx, calm)
	stop()
	r.verify(ctx, dir)
	return r
}

// salvage keeps the data of the schedulers of a test that failed: their disks go with it.
func salvage(t *testing.T, f *fleet.Fleet, dir string) {
	t.Helper()
	for _, s := range f.Schedulers {
		if err := errors.Join(s.Kill(), os.CopyFS(filepath.Join(dir, s.Name), os.DirFS(fleet.DataDir(s.Disk)))); err != nil {
			t.Logf("keep data of %s: %v", s.Name, err)
		}
	}
}

// scratch is a folder that stays when the test fails, or with KEEP=1.
func scratch(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "grafos-faults-") //nolint:usetesting // it is kept after a failure
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() || os.Getenv("KEEP") != "" {
			t.Logf("logs, data and histories are kept in %s", dir)
			return
		}
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// begin waits for the new cluster and makes its first tenants.
func (r *run) begin(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	if _, err := r.leader(ctx); err != nil {
		return err
	}
	if _, err := r.admin.CreateTenant(ctx, tenantFree, api.WriteOptions{}); err != nil {
		return err
	}
	if err := r.load.limit(ctx, r.admin, "tight"); err != nil {
		return err
	}
	return r.whole(ctx)
}

// window is over how long goodput is measured.
const window = 3 * time.Second

// goodput is how many grants are acknowledged in a window from now on.
func (r *run) goodput(ctx context.Context) int {
	began := time.Now()
	_ = harness.Pause(ctx, window) // its end shows in the count
	n, _ := r.load.book.ackedBetween(began, time.Now())
	return n
}

// regain demands that as much is granted as before the faults, within a minute.
func (r *run) regain(ctx context.Context, before int) {
	r.load.book.enter("calm")
	for began := time.Now(); ; {
		now := r.goodput(ctx)
		if now*10 >= before*9 {
			r.t.Logf("goodput was %d grants in %s, and is %d again after %s", before, window, now, time.Since(began).Round(ms))
			return
		}
		if time.Since(began) > time.Minute {
			r.wrong("goodput was %d grants in %s, and is %d a minute after the last fault", before, window, now)
			return
		}
	}
}

// settleTime is how long the last leases may take to end: the longest TTL, and the time by
// which a cell that cannot be asked has stopped.
const settleTime = 45 * time.Second

// verify waits for everything to end and holds what the clients were told against the state,
// the chain, the event stream and the models.
func (r *run) verify(ctx context.Context, dir string) {
	settle, cancel := context.WithTimeout(ctx, r.atEase(settleTime))
	defer cancel()
	if err := promises.Settle(settle, r.admin); err != nil {
		r.wrong("%v", err)
	}
	var nodes []promises.Node
	for _, s := range r.fleet.Schedulers {
		nodes = append(nodes, promises.Node{Name: s.Name, Client: r.alone[s.Name]})
	}
	b := r.load.book
	report, err := promises.Check(ctx, r.admin, nodes, promises.Told{Grants: b.grants, Quotas: b.quotas})
	if err != nil {
		r.wrong("%v", err)
	}
	faults := append(b.broken(), report.Breaches...)
	faults = append(faults, r.events(ctx, report.Chain)...)
	faults = append(faults, r.history(ctx, dir)...)
	faults = append(faults, r.sound(ctx)...)
	const most = 20 // one fault can have a thousand consequences
	for _, f := range faults[:min(len(faults), most)] {
		r.wrong("%s", f)
	}
	if len(faults) > most {
		r.wrong("and %d more", len(faults)-most)
	}
	for _, n := range report.Notes {
		r.t.Log(n)
	}
}

// events waits until the follower has heard of everything and compares.
func (r *run) events(ctx context.Context, chain []api.AuditRecord) []string {
	state, err := r.leader(ctx)
	if err != nil || len(chain) == 0 {
		return []string{fmt.Sprintf("the event stream is not compared: %v", err)}
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	for {
		faults := r.load.events.check(chain)
		if len(faults) == 0 {
			return nil
		}
		if err := harness.Pause(ctx, 100*time.Millisecond); err != nil {
			return append(faults, fmt.Sprintf("the follower is at %s, the state at %d", r.load.events.cursor(), state.AppliedIndex))
		}
	}
}

// history checks the history by its models.
func (r *run) history(ctx context.Context, dir string) []string {
	list, err := r.admin.ListLeases(ctx, api.LeaseFilter{All: true}, api.ReadOptions{})
	if err != nil {
		return []string{err.Error()}
	}
	there := map[api.LeaseID]api.Lease{}
	for _, l := range list.Leases {
		there[l.ID] = l
	}
	r.load.book.end(r.load.record, there, r.load.events.endings())
	pictures := filepath.Join(dir, "histories")
	if err := os.MkdirAll(pictures, 0o700); err != nil {
		return []string{err.Error()}
	}
	began := time.Now()
	faults, err := r.load.record.Check(pictures, time.Minute)
	r.t.Logf("%d operations checked in %s", r.load.record.Operations(), time.Since(began).Round(ms))
	if err := errors.Join(err); err != nil {
		faults = append(faults, err.Error())
	}
	return faults
}
