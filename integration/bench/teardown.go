package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/integration/bench/internal/load"
	"github.com/grafos/grafos/integration/internal/harness"
)

const (
	// tornLeases live on one cell at a time; of ten of them tornBlocks are blocks. tornRuns are tasklets
	// that never rest, with two leases each.
	tornLeases, tornBlocks, tornRuns = 1000, 2, 4
	tornTTL                          = 20 * time.Second
	tornClients                      = 16
	// tornReaders make 2,000 reads a second with this pause: each lease is in use, and the processors are not what is
	// waited for. In the last two rounds nothing holds them back.
	tornReaders, tornPause = 8, 4 * time.Millisecond
	// The aims: of all leases, and of what runs in a tight loop.
	tornHalf, tornMost, tornLoop = 10 * time.Millisecond, 50 * time.Millisecond, 100 * time.Millisecond
)

// teardown: how long after its end a lease's bytes are gone and its worker is reaped, on a real agent
// with 1,000 live leases. The agent says when it is done with each, and what the deadline was, on the
// clock that both of us read.
func (b *bench) teardown(ctx context.Context) error {
	b.title("teardown of 1,000 live leases on one cell: mem, block, and tasklets in a tight loop")
	return b.cluster(ctx, 1, func(c *harness.Cluster) (err error) {
		t, err := newTorn(ctx, b, c)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, t.door.close()) }()
		for _, round := range []struct {
			name string
			do   func(context.Context) error
			ttl  time.Duration
			each time.Duration // from one read of a reader to its next
		}{
			{"expiry", t.expire, tornTTL, tornPause},
			{"expiry, cut off from all schedulers", t.cutOff, tornTTL, tornPause},
			{"revoked, one after the other", func(ctx context.Context) error { return t.revoke(ctx, 1) }, dataTTL, tornPause},
			{"revoked, 16 at a time, as fast as that goes", func(ctx context.Context) error { return t.revoke(ctx, tornClients) }, dataTTL, tornPause},
			{"expiry, with readers that take what the processors give", t.expire, tornTTL, 0},
			{"revoked, one after the other, with such readers", func(ctx context.Context) error { return t.revoke(ctx, 1) }, dataTTL, 0},
		} {
			t.each = round.each
			if err := t.round(ctx, round.name, round.ttl, round.do); err != nil {
				return fmt.Errorf("%s: %w", round.name, err)
			}
		}
		return nil
	})
}

// torn is a cell whose leases end.
type torn struct {
	b          *bench
	c          *harness.Cluster
	door       *door
	schedulers []int // their processes
	log        string
	from       int64 // where this round begins in the log
	spin       api.RunRequest
	each       time.Duration // from one read of a reader to its next; 0 is at once

	mu     sync.Mutex
	grants []api.Grant
	ends   map[api.LeaseID]int64 // when a revocation was acknowledged, CLOCK_BOOTTIME ns
	runs   map[api.LeaseID]bool
	last   map[api.LeaseID]int64 // when the last operation that was served was sent
	served int
}

// spinning is a program that does nothing, for ever: (func (export "_start") (loop (br 0))).
func spinning() []byte {
	return []byte("\x00asm\x01\x00\x00\x00\x01\x04\x01\x60\x00\x00\x03\x02\x01\x00\x05\x03\x01\x00\x01" +
		"\x07\x13\x02\x06_start\x00\x00\x06memory\x02\x00\x0a\x09\x01\x07\x00\x03\x40\x0c\x00\x0b\x0b")
}

func newTorn(ctx context.Context, b *bench, c *harness.Cluster) (*torn, error) {
	err := addArgs(c, []string{"cells"}, func(string, string) ([]any, error) { return []any{"--log-level", "debug"}, nil })
	if err != nil {
		return nil, err
	}
	s, err := c.Status(ctx)
	if err != nil {
		return nil, err
	}
	t := &torn{b: b, c: c, log: filepath.Join(c.DevDir(), "logs", s.Cells[0].Name+".log")}
	if err := c.Restart(ctx, s.Cells[0].Name); err != nil {
		return nil, err
	}
	for _, n := range s.Schedulers {
		t.schedulers = append(t.schedulers, n.PID)
	}
	if t.door, err = newDoor(ctx, c); err != nil {
		return nil, err
	}
	module := spinning()
	t.spin = api.RunRequest{Provider: "local", Tenant: "dev", Tasklet: "spin", Module: api.DigestOf(sha256.Sum256(module)), Resources: api.Resources{CPU: 10, Mem: 1 << 20}}
	return t, t.door.clients[0].PutBlob(ctx, t.spin.Module, int64(len(module)), bytes.NewReader(module))
}

func bootTime() int64 {
	var ts unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts) // it has no error on a kernel that grafOS runs on
	return ts.Nano()
}

// round fills the cell, lets the leases end, and prints how late they were.
func (t *torn) round(ctx context.Context, name string, ttl time.Duration, end func(context.Context) error) error {
	t.grants, t.served = nil, 0
	t.ends, t.runs, t.last = map[api.LeaseID]int64{}, map[api.LeaseID]bool{}, map[api.LeaseID]int64{}
	info, err := os.Stat(t.log)
	if err != nil {
		return fmt.Errorf("look at the cell's log: %w", err)
	}
	t.from = info.Size()
	if err := t.fill(ctx, ttl); err != nil {
		return err
	}
	reading, stop := context.WithCancel(ctx)
	var wg sync.WaitGroup
	h, err := t.c.DataPlane()
	if err != nil {
		stop()
		return err
	}
	for w := range tornReaders {
		wg.Go(func() { t.read(reading, h, w) })
	}
	err = end(ctx)
	stop()
	wg.Wait()
	if err != nil {
		return err
	}
	return t.say(name)
}

// fill makes the leases, and the tasklets first: those have to be compiled.
func (t *torn) fill(ctx context.Context, ttl time.Duration) error {
	leases, runs := tornLeases, tornRuns
	if t.b.quick {
		leases, runs = 200, 2
	}
	spin := t.spin
	spin.TTLMs = ttl.Milliseconds()
	for range runs {
		a, err := t.door.clients[0].StartRun(ctx, spin, api.WriteOptions{})
		if err != nil {
			return fmt.Errorf("start a tasklet: %w", err)
		}
		for _, l := range a.Leases {
			t.runs[l.ID] = true
		}
	}
	next := make(chan int)
	go func() { // ends with the last number
		defer close(next)
		for n := range leases {
			next <- n
		}
	}()
	errs := make([]error, tornClients)
	var wg sync.WaitGroup
	for w := range tornClients {
		wg.Go(func() {
			for n := range next {
				if errs[w] == nil {
					errs[w] = t.grant(ctx, n, ttl)
				}
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

func (t *torn) grant(ctx context.Context, n int, ttl time.Duration) error {
	r := api.LeaseRequest{Provider: "local", Tenant: "dev", TTLMs: ttl.Milliseconds(), Resources: api.Resources{Mem: 16 << 10}}
	if n%10 < tornBlocks {
		r.Resources = api.Resources{Block: 64 << 10}
	}
	set, err := t.door.clients[n%len(t.door.clients)].RequestLeases(ctx, r, api.WriteOptions{})
	if err != nil {
		return fmt.Errorf("lease number %d: %w", n+1, err)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.grants = append(t.grants, set.Leases...)
	return nil
}

// read reads one lease after the other, and notes when it sent what was served.
func (t *torn) read(ctx context.Context, h *http.Client, w int) {
	u := &dataUser{http: h}
	pace := time.NewTicker(max(t.each, 1))
	defer pace.Stop()
	for n := w; ctx.Err() == nil; n += tornReaders {
		select {
		case <-pace.C:
		case <-ctx.Done():
			return
		}
		g := t.grants[n%len(t.grants)]
		at := bootTime()
		if err := u.piece(ctx, &g, http.MethodGet, 0, dataPiece, nil); err != nil {
			continue // it has ended, or the round has
		}
		t.mu.Lock()
		t.last[g.ID] = max(t.last[g.ID], at)
		t.served++
		t.mu.Unlock()
	}
}

// settle is how long after the last deadline everything is looked at.
const settleTime = 2 * time.Second

func (t *torn) expire(ctx context.Context) error { return pause(ctx, tornTTL+settleTime) }

// cutOff stops all schedulers before the leases end.
func (t *torn) cutOff(ctx context.Context) error {
	signal := func(sig syscall.Signal) (err error) {
		for _, pid := range t.schedulers {
			err = errors.Join(err, syscall.Kill(pid, sig))
		}
		return err
	}
	if err := signal(syscall.SIGSTOP); err != nil {
		return errors.Join(fmt.Errorf("stop the schedulers: %w", err), signal(syscall.SIGCONT))
	}
	err := pause(ctx, tornTTL+settleTime)
	if err = errors.Join(err, signal(syscall.SIGCONT)); err != nil {
		return err
	}
	return pause(ctx, 2*settleTime) // they elect a leader
}

// revoke has so many clients revoke all leases, and notes when each was acknowledged.
func (t *torn) revoke(ctx context.Context, clients int) error {
	var ids []api.LeaseID
	for _, g := range t.grants {
		ids = append(ids, g.ID)
	}
	for id := range t.runs {
		ids = append(ids, id)
	}
	errs := make([]error, clients)
	var wg sync.WaitGroup
	for w := range clients {
		wg.Go(func() {
			for n := w; n < len(ids) && errs[w] == nil; n += clients {
				_, errs[w] = t.door.clients[w%len(t.door.clients)].RevokeLease(ctx, ids[n], api.RevokeRequest{}, api.WriteOptions{})
				t.mu.Lock()
				t.ends[ids[n]] = bootTime()
				t.mu.Unlock()
			}
		})
	}
	wg.Wait()
	return errors.Join(errors.Join(errs...), pause(ctx, settleTime))
}

// say prints how late the leases were that the cell's log tells of.
func (t *torn) say(name string) error {
	text, err := os.ReadFile(t.log)
	if err != nil {
		return fmt.Errorf("read the cell's log: %w", err)
	}
	line := regexp.MustCompile(`lease torn down: .*lease_id=(\S+).* at_ns=(\d+) deadline_ns=(\d+)`)
	var late, loops []time.Duration
	var after int
	for _, m := range line.FindAllSubmatch(text[t.from:], -1) {
		id := api.LeaseID(m[1])
		at, err := strconv.ParseInt(string(m[2]), 10, 64)
		if err != nil {
			return fmt.Errorf("read the cell's log: %w", err)
		}
		end, err := strconv.ParseInt(string(m[3]), 10, 64)
		if err != nil {
			return fmt.Errorf("read the cell's log: %w", err)
		}
		served := end
		if told, revoked := t.ends[id]; revoked {
			end, served = told, at // until the cell hears of it the lease lives
		}
		if t.last[id] > served {
			after++
		}
		if t.runs[id] {
			loops = append(loops, time.Duration(max(at-end, 0)))
		} else {
			late = append(late, time.Duration(max(at-end, 0)))
		}
	}
	if len(late) != len(t.grants) || len(loops) == 0 {
		return fmt.Errorf("%d leases and %d of tasklets ended, of %d and %d", len(late), len(loops), len(t.grants), len(t.runs))
	}
	half, most, loop := load.Percentile(late, 50), load.Percentile(late, 99), slices.Max(loops)
	t.b.say("%s: %d leases, gone after p50 %s, p99 %s, worst %s; aim p50 under %s: %s, p99 under %s: %s", name, len(late), late3(half), late3(most), late3(slices.Max(late)),
		tornHalf, yes(half < tornHalf), tornMost, yes(most < tornMost))
	t.b.say("  %d leases of tasklets in a tight loop, worker reaped: p50 %s, worst %s; aim under %s: %s", len(loops), late3(load.Percentile(loops, 50)), late3(loop), tornLoop, yes(loop < tornLoop))
	t.b.say("  %d operations served meanwhile, %d that were sent after the end: aim none: %s", t.served, after, yes(after == 0))
	return nil
}

func late3(d time.Duration) string { return d.Round(10 * time.Microsecond).String() }

func yes(ok bool) string {
	if ok {
		return "yes"
	}
	return "NO"
}
