package cellagent

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/cellagent/binding"
	"github.com/grafos/grafos/cellagent/ledger"
)

// witness is a real host that notes when each binding was closed.
type witness struct {
	bindingHost
	clock Clock
	mu    sync.Mutex
	ended map[api.LeaseID]int64
}

type watched struct {
	Opened
	by *witness
	id api.LeaseID
}

func (w *witness) Bind(l api.Lease) (Opened, error) {
	b, err := w.bindingHost.Bind(l)
	return watched{b, w, l.ID}, err
}

func (w watched) note() {
	w.by.mu.Lock()
	defer w.by.mu.Unlock()
	w.by.ended[w.id] = w.by.clock.Now()
}

func (w watched) Close(ctx context.Context) error {
	err := w.Opened.Close(ctx)
	w.note()
	return err
}

func (w watched) CloseNow() bool {
	done := w.Opened.CloseNow()
	if done {
		w.note()
	}
	return done
}

// p99 is of lateness: how busy the machine is shows in that of a plain timer.
func p99(late []time.Duration) time.Duration {
	slices.Sort(late)
	return late[len(late)*99/100]
}

// TestTeardownsAreInTime: with 1,000 live leases on a real host, 99 of 100 are torn down
// within 50 ms of their deadline. A machine that is busy with other work has three chances.
func TestTeardownsAreInTime(t *testing.T) {
	for chance := 1; ; chance++ {
		late, busy := lateness(t)
		t.Logf("late by %s, p99; a plain timer on this machine %s", late, busy)
		limit := 50*time.Millisecond + 4*busy
		if late <= limit {
			return
		}
		if chance == 3 {
			t.Fatalf("99 of 100 were torn down within %s of their deadline, want %s", late, limit)
		}
	}
}

// lateness is how late 99 of 100 teardowns were, and a plain timer beside them.
func lateness(t *testing.T) (late, busy time.Duration) {
	t.Helper()
	clock, err := openBootClock()
	if err != nil {
		t.Fatal(err)
	}
	host, err := binding.Open(binding.Options{
		Dir: t.TempDir(), Capacity: api.Resources{CPU: 1 << 30, Mem: 1 << 30, Net: 1 << 30}, Log: hclog.NewNullLogger(),
	})
	if err != nil {
		t.Fatal(err)
	}
	disk, err := ledger.OpenFile(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	book, _, err := ledger.Open(disk, clock.BootID())
	if err != nil {
		t.Fatal(err)
	}
	w := &witness{bindingHost: bindingHost{host}, clock: clock, ended: map[api.LeaseID]int64{}}
	k := newKeeper(&keeper{cell: "local-1", clock: clock, host: w, ledger: book, outbox: newOutbox(), log: hclog.NewNullLogger()})
	alarm, err := clock.NewAlarm()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { k.expire(ctx, ctx, alarm) })
	var idle []time.Duration
	wg.Go(func() {
		for ctx.Err() == nil {
			at := time.Now()
			<-time.After(5 * time.Millisecond)
			idle = append(idle, time.Since(at)-5*time.Millisecond)
		}
	})

	const leases = 1000
	set := api.Desired{Index: 1}
	for i := range leases {
		l := api.Lease{
			ID: api.LeaseID(fmt.Sprint("l", i)), CellID: "local-1", Tenant: "acme", State: api.LeaseActive, Generation: 1, Epoch: uint64(i + 1),
			TTLMs: 1000 + int64(i%100)*10, Stamp: stampOf(clock), Kind: api.KindMem, Use: api.UseRegion, Amount: 4096,
		}
		switch i % 10 {
		case 0:
			l.Kind, l.Use = api.KindCPU, ""
		case 1:
			l.Kind, l.Use = api.KindNet, "" // blocks are as late as the disk is busy
		case 2:
			l.Amount = 256 << 10
		}
		set.Leases = append(set.Leases, l)
	}
	if err := k.take(ctx, set); err != nil {
		t.Fatal(err)
	}
	k.mu.Lock()
	deadlines := map[api.LeaseID]int64{}
	for id, h := range k.held {
		deadlines[id] = h.deadline
	}
	k.mu.Unlock()
	if len(deadlines) != leases {
		t.Fatalf("%d leases are held", len(deadlines))
	}
	for held := leases; held > 0; {
		<-k.outbox.wake
		k.mu.Lock()
		held = len(k.held)
		k.mu.Unlock()
	}
	cancel()
	wg.Wait()
	k.tasks.Wait()
	if err := alarm.Close(); err != nil {
		t.Error(err)
	}
	if err := host.Close(); err != nil {
		t.Error(err)
	}
	var all []time.Duration
	for id, deadline := range deadlines {
		by := time.Duration(w.ended[id] - deadline)
		if by < 0 {
			t.Fatalf("lease %s was torn down %s early", id, -by)
		}
		all = append(all, by)
	}
	return p99(all), p99(idle)
}
