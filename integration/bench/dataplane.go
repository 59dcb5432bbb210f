package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/integration/bench/internal/load"
	"github.com/grafos/grafos/integration/internal/harness"
)

const (
	// dataClients read at one time; dataPiece is what each reads or writes.
	dataClients = 16
	dataPiece   = 4 << 10
	// dataLarge and dataStream are pieces that cost the disk more than their way to the cell does.
	dataLarge  = 256 << 10
	dataStream = 16 << 20
	dataBytes  = 64 << 20
	dataTTL    = 30 * time.Minute
	dataReps   = 3
	// readsAim and grantAim are what a data plane has to do on this machine.
	readsAim = 10_000
	grantAim = 25 * time.Millisecond
)

// dataplane: what a lease is good for once it is granted: reads of its memory, writes of its
// blocks, and how long it takes from the request to the first byte.
func (b *bench) dataplane(ctx context.Context) error {
	b.title("the data plane of one cell: HTTPS with a client certificate and a capability token, checked each time")
	return b.cluster(ctx, 3, func(c *harness.Cluster) (err error) {
		var open closing
		defer open.end(&err)
		d, err := newDoor(ctx, c)
		if err != nil {
			return err
		}
		open.add(d.close)
		h, err := c.DataPlane()
		if err != nil {
			return err
		}
		if err := b.firstByte(ctx, d, h); err != nil {
			return err
		}
		s, err := c.Status(ctx)
		if err != nil {
			return err
		}
		set, err := d.clients[0].RequestLeases(ctx, api.LeaseRequest{
			Provider: "local", Tenant: "dev", TTLMs: dataTTL.Milliseconds(), Resources: api.Resources{Mem: dataBytes, Block: dataBytes},
		}, api.WriteOptions{})
		if err != nil {
			return err
		}
		user := &dataUser{http: h, door: d}
		for _, g := range set.Leases {
			if g.Kind == api.KindMem {
				user.mem = g
			} else {
				user.block = g
			}
		}
		for _, n := range s.Cells {
			if n.Name == string(set.CellID) {
				user.cell = n.PID
			}
		}
		if err := b.dataReads(ctx, user); err != nil {
			return err
		}
		return b.dataWrites(ctx, user, c.DevDir())
	})
}

// dataUser is the holder of the leases.
type dataUser struct {
	http       *http.Client
	door       *door
	mem, block api.Grant
	cell       int
}

// piece is one exchange of so many bytes with the cell.
func (u *dataUser) piece(ctx context.Context, g *api.Grant, method string, offset, length int, body io.Reader) error {
	url := fmt.Sprintf("%s?offset=%d&length=%d", g.Coordinate, offset, length)
	if method == http.MethodPut {
		url += "&sync=1"
	}
	r, err := http.NewRequestWithContext(ctx, method, url, body)
	if err != nil {
		return fmt.Errorf("make request: %w", err)
	}
	r.Header.Set("Authorization", "Bearer "+g.Token)
	resp, err := u.http.Do(r)
	if err != nil {
		return fmt.Errorf("ask cell: %w", err)
	}
	defer func() { _ = resp.Body.Close() }() // read to its end
	n, err := io.Copy(io.Discard, resp.Body)
	if err == nil && (resp.StatusCode/100 != 2 || method == http.MethodGet && n != int64(length)) {
		err = fmt.Errorf("status %d, %d bytes", resp.StatusCode, n)
	}
	return err
}

// fresh replaces the tokens: they live 300 s.
func (u *dataUser) fresh(ctx context.Context) error {
	for _, g := range []*api.Grant{&u.mem, &u.block} {
		a, err := u.door.clients[0].LeaseToken(ctx, g.ID, api.WriteOptions{})
		if err != nil {
			return err
		}
		g.Token = a.Lease.Token
	}
	return nil
}

func (u *dataUser) offset(worker, n, length int) int {
	return (worker*7919 + n) % (dataBytes / length) * length
}

// dataReads measures reads of 4 KiB of memory.
func (b *bench) dataReads(ctx context.Context, u *dataUser) error {
	if err := u.fresh(ctx); err != nil {
		return err
	}
	loads := []load.Spec{{Outstanding: dataClients, Warm: 500 * time.Millisecond, Window: 3 * time.Second}}
	all := []contender{{name: "mem reads of 4 KiB", pids: func() []int { return []int{u.cell} }, run: func(ctx context.Context, s load.Spec) (load.Run, error) {
		return load.Do(ctx, s, func(ctx context.Context, worker, n int) error {
			return u.piece(ctx, &u.mem, http.MethodGet, u.offset(worker, n, dataPiece), dataPiece, nil)
		}), nil
	}}}
	results, err := b.contest(ctx, dataReps, loads, all)
	if err != nil {
		return err
	}
	b.table(results, loads, all)
	b.say("aim at %d clients: at least %d/s; the clients share the machine with the cell", dataClients, readsAim)
	return nil
}

// dataWrites measures writes of blocks, each on the disk when it is answered, against the same writes
// of a file beside them, by as many writers, and against writes of memory, which take the same way to
// the cell and touch no disk.
func (b *bench) dataWrites(ctx context.Context, u *dataUser, dir string) (err error) {
	f, err := os.Create(filepath.Join(dir, "raw-writes"))
	if err != nil {
		return fmt.Errorf("make file: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close(), os.Remove(f.Name())) }()
	if err := syscall.Fallocate(int(f.Fd()), 0, 0, dataBytes); err != nil { // as a cell makes a block
		return fmt.Errorf("make file: %w", err)
	}
	for _, length := range []int{dataPiece, dataLarge, dataStream} {
		if err := u.fresh(ctx); err != nil {
			return err
		}
		if err := b.dataWritesOf(ctx, u, f, length); err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) dataWritesOf(ctx context.Context, u *dataUser, f *os.File, length int) error {
	data := bytes.Repeat([]byte("grafOS: "), length/8)
	loads := []load.Spec{{Outstanding: 1, Warm: 300 * time.Millisecond, Window: 2 * time.Second}, {Outstanding: dataClients, Warm: 300 * time.Millisecond, Window: 2 * time.Second}}
	size := api.FormatSize(int64(length))
	put := func(name string, g *api.Grant) contender {
		return contender{name: name, pids: func() []int { return []int{u.cell} }, run: func(ctx context.Context, s load.Spec) (load.Run, error) {
			return load.Do(ctx, s, func(ctx context.Context, worker, n int) error {
				return u.piece(ctx, g, http.MethodPut, u.offset(worker, n, length), length, bytes.NewReader(data))
			}), nil
		}}
	}
	all := []contender{
		put("block writes of "+size+", sync", &u.block),
		put("mem writes of "+size, &u.mem),
		{name: "raw writes of " + size + ", fdatasync", pids: func() []int { return []int{os.Getpid()} }, run: func(ctx context.Context, s load.Spec) (load.Run, error) {
			return load.Do(ctx, s, func(_ context.Context, worker, n int) error {
				if _, err := f.WriteAt(data, int64(u.offset(worker, n, length))); err != nil {
					return err
				}
				return syscall.Fdatasync(int(f.Fd()))
			}), nil
		}},
	}
	results, err := b.contest(ctx, dataReps, loads, all)
	if err != nil {
		return err
	}
	b.table(results, loads, all)
	for _, l := range loads {
		rate := func(i int) float64 {
			mid, _, _ := results[all[i].name][l.Outstanding].PerSecond()
			return mid
		}
		b.say("ratio block-sync-%s clients=%d ours=%s raw=%s ratio=%.2f; of the same without a disk: %.2f", strings.ToLower(strings.TrimSuffix(strings.ReplaceAll(size, " ", ""), "iB")), l.Outstanding,
			figure(rate(0)), figure(rate(2)), rate(0)/max(rate(2), 1), rate(0)/max(rate(1), 1))
	}
	return nil
}

// firstByte measures the way from a request on an idle cluster to the first byte that is read
// with its answer.
func (b *bench) firstByte(ctx context.Context, d *door, h *http.Client) error {
	n := 50
	if b.quick {
		n = 3
	}
	took := make([]time.Duration, 0, n)
	for range n {
		start := time.Now()
		set, err := d.clients[0].RequestLeases(ctx, leaseRequest(admitTTL), api.WriteOptions{})
		if err != nil {
			return err
		}
		if _, err := harness.Read(ctx, h, set.Leases[0], 1); err != nil {
			return err
		}
		took = append(took, time.Since(start))
	}
	slices.Sort(took)
	ok := "yes"
	if took[n/2] > grantAim {
		ok = "NO"
	}
	b.say("grant to first byte, one client, idle: p50 %s, p90 %s, worst %s; aim p50 under %s: %s",
		took[n/2].Round(10*time.Microsecond), took[n*9/10].Round(10*time.Microsecond), took[n-1].Round(10*time.Microsecond), grantAim, strings.ToLower(ok))
	return nil
}
