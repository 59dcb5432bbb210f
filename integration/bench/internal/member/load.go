package member

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime/pprof"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/fsm"
	"github.com/grafos/grafos/integration/bench/internal/child"
	"github.com/grafos/grafos/integration/bench/internal/load"
)

// The load changes the quotas of tenants: the cheapest command that can have commandSize
// bytes and replaces a record of the state, as a put of a value does. It makes an event and
// a record of the audit chain as well, which a put does not.
const (
	tenants     = 1000
	commandSize = 256
	frame       = 24 // what fsm.EncodedSize adds for the entry round a command
)

func (m *member) do(ctx context.Context, r child.Request) (child.Answer, error) {
	spec := load.Spec{
		Outstanding: r.Outstanding,
		Warm:        time.Duration(r.WarmMs) * time.Millisecond, Window: time.Duration(r.WindowMs) * time.Millisecond,
	}
	switch r.Do {
	case "state":
		return child.Answer{Leads: m.node.Leads()}, nil
	case "prepare":
		return child.Answer{}, m.prepare(ctx)
	case "put":
		var serial atomic.Int64
		serial.Store(1<<40 + time.Now().UnixMilli()%(1<<20)<<20) // it takes nine bytes, whichever it is
		who := actor(serial.Load())
		return child.Of(load.Do(ctx, spec, func(ctx context.Context, worker, n int) error {
			_, err := m.lead.Submit(ctx, change(who, worker+n*61, serial.Add(1)))
			return err
		})), nil
	case "profile":
		return child.Answer{}, profile(ctx, r.Path, spec.Window)
	}
	return child.Answer{}, fmt.Errorf("a member does not know %q", r.Do)
}

// prepare makes the tenants.
func (m *member) prepare(ctx context.Context) error {
	const together = 64
	var wg sync.WaitGroup
	errs := make([]error, together)
	for w := range together {
		wg.Go(func() {
			for n := w; n < tenants; n += together {
				_, err := m.lead.Submit(ctx, fsm.CreateTenant{Actor: "operator/bench", Tenant: tenant(n), Quota: api.NoQuota()})
				errs[w] = errors.Join(errs[w], err)
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

func tenant(n int) api.TenantID { return api.TenantID(fmt.Sprintf("tenant-%04d", n%tenants)) }

// change is a command that differs from every other one.
func change(actor string, n int, serial int64) fsm.SetQuota {
	q := api.NoQuota()
	q.Leases = serial
	return fsm.SetQuota{Actor: actor, Tenant: tenant(n), Quota: q}
}

// actor is a name that makes a change one of commandSize bytes.
func actor(serial int64) string {
	const name = "operator/"
	return name + strings.Repeat("b", max(0, commandSize+frame-fsm.EncodedSize(change(name, 0, serial))))
}

// profile writes a CPU profile of the next d into a file.
func profile(ctx context.Context, path string, d time.Duration) error {
	f, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("make profile: %w", err)
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		return errors.Join(fmt.Errorf("profile: %w", err), f.Close())
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
	pprof.StopCPUProfile()
	return f.Close()
}
