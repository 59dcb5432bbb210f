package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime/pprof"
	"slices"
	"strings"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/integration/bench/internal/child"
	"github.com/grafos/grafos/integration/bench/internal/load"
	"github.com/grafos/grafos/integration/bench/internal/proc"
	"github.com/grafos/grafos/integration/internal/harness"
)

const (
	profileTime = 15 * time.Second
	profileLoad = 256
)

// shares are the kinds of work that a profile is divided into, each with the functions that
// it is done below. They overlap: what allocates for JSON is in both lines.
func shares() [][2]string {
	return [][2]string{
		{"TLS", `^crypto/tls\.`},
		{"HTTP/1 and 2, handlers' work in it", `^net/http\.|golang\.org/x/net/http2`},
		{"huma", `danielgtaylor/huma`},
		{"JSON", `^encoding/json`},
		{"CBOR", `fxamacker/cbor`},
		{"making codecs", `fsm\.newCodec`},
		{"encode entries", `fsm\.EncodeEntry`},
		{"size of commands", `fsm\.EncodedSize`},
		{"Apply", `fsm\.\(\*Machine\)\.Apply|cluster\.\(\*machine\)\.Apply`},
		{"B-trees", `tidwall/btree`},
		{"audit and events", `fsm\.\(\*State\)\.(audit|event)$|store\.\(\*Audit\)\.Append`},
		{"hashing", `^crypto/(sha256|sha512)|internal/fips140/sha|fsm\.\(\*State\)\.note$`},
		{"placement and desk", `grafos/placement\.|leader\.\(\*desk\)`},
		{"readiness", `fsm\.\(\*View\)\.Readiness`},
		{"log store", `cluster/store\.\(\*Log\)`},
		{"bolt", `go\.etcd\.io/bbolt`},
		{"raft", `hashicorp/raft\.`},
		{"raft's msgpack", `hashicorp/go-msgpack`},
		{"gossip", `hashicorp/memberlist|cluster/gossip\.`},
		{"cell sessions and reports", `control\.\(\*Control\)\.(watch|Report|TakeReport)$|control\.\(\*watcher\)`},
		{"forwarding", `server\.\(\*.*\)\.forward|httputil`},
		{"logging", `hashicorp/go-hclog`},
		{"allocation", `^runtime\.mallocgc`},
		{"garbage collection", `^runtime\.(gcBgMarkWorker|gcAssistAlloc|bgsweep|bgscavenge)`},
		{"goroutine scheduling", `^runtime\.(schedule|findRunnable|mcall|park_m|futex|ready)`},
		{"system calls", `syscall\.(Syscall|RawSyscall|Syscall6|RawSyscall6)|runtime/internal/syscall\.|internal/runtime/syscall\.`},
	}
}

// profile says where the processor time of schedulers goes, on the commit path and on those
// of reads and of whole admissions. The profiles are kept for go tool pprof.
func (b *bench) profile(ctx context.Context) error {
	dir := filepath.Join(filepath.Dir(b.bin), "profiles")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("make a folder: %w", err)
	}
	for _, n := range []int{1, profileLoad} {
		if name := fmt.Sprintf("commit-%d", n); b.kinds.MatchString(name) {
			if err := b.profileCommit(ctx, filepath.Join(dir, name), n); err != nil {
				return err
			}
		}
	}
	return b.profileAdmissions(ctx, dir)
}

func (b *bench) profileCommit(ctx context.Context, name string, outstanding int) (err error) {
	b.title(fmt.Sprintf("profile of the commit path, %d outstanding", outstanding))
	var open closing
	defer open.end(&err)
	f, err := b.members(ctx, boltdb, false)
	if err != nil {
		return err
	}
	open.add(f.close)
	leader, err := f.leader(ctx)
	if err != nil {
		return err
	}
	follower := (leader + 1) % seats
	files := [2]string{name + "-leader.prof", name + "-follower.prof"}
	var wg sync.WaitGroup
	errs := make([]error, 3)
	for i, m := range []int{leader, follower} {
		wg.Go(func() {
			path, err := filepath.Abs(files[i])
			if err == nil {
				_, err = f.proc[m].Ask(ctx, child.Request{Do: "profile", Path: path, WindowMs: profileTime.Milliseconds()})
			}
			errs[i] = err
		})
	}
	run, err := b.perOp([]string{"leader", "follower"}, []int{f.proc[leader].PID(), f.proc[follower].PID()}, func() (load.Run, error) {
		return f.inLeader(ctx, load.Spec{Outstanding: outstanding, Warm: 500 * time.Millisecond, Window: profileTime})
	})
	errs[2] = err
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	b.say("%.0f commands a second", run.PerSecond())
	return b.tops(ctx, files[:])
}

// cellShares are the kinds of a cell's work, in the same way.
func cellShares() [][2]string {
	return [][2]string{
		{"TLS", `^crypto/tls\.`},
		{"HTTP/2", `net/http\.|golang\.org/x/net/http2|net/http/internal`},
		{"watch: reading and deciding", `cellagent\.\(\*watcher\)|cellagent\.\(\*sessions\)`},
		{"reading messages", `client\.\(\*lines\)\.next`},
		{"reconcile", `cellagent\.\(\*keeper\)\.take`},
		{"open a binding", `binding\.\(\*Host\)\.Bind`},
		{"expiry", `cellagent\.\(\*keeper\)\.endDue`},
		{"teardown", `cellagent\.\(\*keeper\)\.(teardown|demolish)`},
		{"close a binding", `binding\.\(\*bound\)\.Close`},
		{"reports", `cellagent\.\(\*reporter\)\.send`},
		{"make a report", `cellagent\.\(\*outbox\)\.compose`},
		{"tokens", `capbroker\.\(\*Broker\)\.Mint`},
		{"signatures", `^crypto/ed25519\.`},
		{"send a report", `client\.\(\*Client\)\.Report`},
		{"JSON", `^encoding/json`},
		{"our JSON", `grafos/api/quick\.`},
		{"logging", `hashicorp/go-hclog`},
		{"allocation", `^runtime\.mallocgc`},
		{"garbage collection", `^runtime\.(gcBgMarkWorker|gcAssistAlloc|bgsweep|bgscavenge)`},
		{"goroutine scheduling", `^runtime\.(schedule|findRunnable|mcall|park_m|futex|ready)`},
		{"system calls", `syscall\.(Syscall|RawSyscall|Syscall6|RawSyscall6)|runtime/internal/syscall\.|internal/runtime/syscall\.`},
		{"mapping memory", `unix\.(Mmap|Munmap|Madvise)|unix\.\(\*mmapper\)`},
	}
}

// looked is cluster with a door to three schedulers, and the profiles of schedulers and cells.
func (b *bench) looked(ctx context.Context, do func(*harness.Cluster, []debugAddr, *door) error) error {
	return b.cluster(ctx, 3, func(c *harness.Cluster) (err error) {
		debug, err := openDebug(ctx, c)
		if err != nil {
			return err
		}
		var open closing
		defer open.end(&err)
		d, err := newDoor(ctx, c)
		if err != nil {
			return err
		}
		open.add(d.close)
		return do(c, debug, d)
	})
}

func (b *bench) profileAdmissions(ctx context.Context, dir string) error {
	b.title(fmt.Sprintf("profile of reads and of whole admissions, %d clients", profileLoad))
	return b.looked(ctx, func(c *harness.Cluster, debug []debugAddr, d *door) error {
		ids, err := d.lease(ctx, profileLoad)
		if err != nil {
			return err
		}
		for _, kind := range []struct {
			name string
			run  func(context.Context, load.Spec) (load.Run, error)
		}{
			{"reads-linearizable", d.read(ids, api.Linearizable)},
			{"reads-stale", d.read(ids, api.Stale)},
			{"admissions", d.admit},
			{"batches", d.admitBatches(4 * profileLoad / batchOf)},
		} {
			if !b.kinds.MatchString(kind.name) {
				continue
			}
			leader, err := c.Leader(ctx)
			if err != nil {
				return err
			}
			var files []string
			var wg sync.WaitGroup
			debug := slices.DeleteFunc(slices.Clone(debug), func(a debugAddr) bool { return a.cell })
			errs := make([]error, len(debug)+1)
			for i, at := range debug {
				file := filepath.Join(dir, kind.name+"-"+at.name+".prof")
				files = append(files, file)
				wg.Go(func() { errs[i] = fetchProfile(ctx, at.addr, file) })
			}
			own := filepath.Join(dir, kind.name+"-clients.prof")
			files = append(files, own)
			from, ierr := d.index(ctx)
			run, err := b.perOp(append([]string{"clients"}, d.names...), append([]int{os.Getpid()}, d.pids()...), func() (run load.Run, err error) {
				return run, errors.Join(ownProfile(own, func() error {
					run, err = kind.run(ctx, load.Spec{Outstanding: profileLoad, Warm: time.Second, Window: profileTime})
					return err
				}))
			})
			to, jerr := d.index(ctx)
			if err := errors.Join(ierr, jerr); err != nil {
				return err
			}
			b.say("%d log entries, %.2f an operation", to-from, float64(to-from)/float64(max(run.Done*max(run.Each, 1), 1)))
			errs[len(debug)] = err
			wg.Wait()
			if err := errors.Join(errs...); err != nil {
				return err
			}
			after, err := c.Leader(ctx)
			if err != nil {
				return err
			}
			b.say("\n%s: %.0f a second, %d failed; %s led, afterwards %s", kind.name, run.PerSecond(), run.Failed, leader.Name, after.Name)
			if run.First != nil {
				b.say("the first failure: %.200v", run.First)
			}
			if err := b.tops(ctx, files); err != nil {
				return err
			}
		}
		return nil
	})
}

// debugAddr is where a node gives its profiles.
type debugAddr struct {
	name, addr string
	cell       bool
}

// openDebug starts the nodes of a dev cluster again, with their profiles open: dev up
// has no setting for it, so it is added to what the cluster's folder says of them.
func openDebug(ctx context.Context, c *harness.Cluster) ([]debugAddr, error) {
	path := filepath.Join(c.DevDir(), "dev.json")
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the dev cluster: %w", err)
	}
	var state map[string]any
	if err := json.Unmarshal(raw, &state); err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	var all []debugAddr
	for _, kind := range []string{"schedulers", "cells"} {
		list, ok := state[kind].([]any)
		if !ok {
			return nil, fmt.Errorf("%s names no %s", path, kind)
		}
		for _, one := range list {
			node, ok := one.(map[string]any)
			args, hasArgs := node["args"].([]any)
			if !ok || !hasArgs {
				return nil, fmt.Errorf("%s does not say how one of the %s is started", path, kind)
			}
			addr, err := freeAddr(ctx)
			if err != nil {
				return nil, err
			}
			node["args"] = append(args, "--debug-bind", addr)
			all = append(all, debugAddr{name: fmt.Sprint(node["name"]), addr: addr, cell: kind == "cells"})
		}
	}
	if raw, err = json.Marshal(state); err != nil {
		return nil, fmt.Errorf("write the dev cluster: %w", err)
	}
	if err := os.WriteFile(path, raw, 0o600); err != nil {
		return nil, fmt.Errorf("write the dev cluster: %w", err)
	}
	for _, a := range all {
		if err := c.Restart(ctx, a.name); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// fetchProfile takes a CPU profile over HTTP.
func fetchProfile(ctx context.Context, addr, file string) (err error) {
	url := fmt.Sprintf("http://%s/debug/pprof/profile?seconds=%d", addr, int(profileTime.Seconds()))
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return fmt.Errorf("ask for a profile: %w", err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("ask for a profile: %w", err)
	}
	defer func() { err = errors.Join(err, resp.Body.Close()) }()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("ask for a profile: %s", resp.Status)
	}
	f, err := os.Create(file)
	if err != nil {
		return fmt.Errorf("keep the profile: %w", err)
	}
	_, err = io.Copy(f, resp.Body)
	return errors.Join(err, f.Close())
}

// ownProfile takes a CPU profile of this process, which is all the clients, while do runs.
func ownProfile(file string, do func() error) error {
	f, err := os.Create(file)
	if err != nil {
		return fmt.Errorf("keep the profile: %w", err)
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		return errors.Join(fmt.Errorf("profile the clients: %w", err), f.Close())
	}
	err = do()
	pprof.StopCPUProfile()
	return errors.Join(err, f.Close())
}

// perOp runs a load and prints what one operation of it costs each process. The profiles know
// of less: a thread that runs for less than a tick is seldom seen.
func (b *bench) perOp(names []string, pids []int, do func() (load.Run, error)) (load.Run, error) {
	before := make([]time.Duration, len(pids))
	for i, pid := range pids {
		var err error
		if before[i], err = proc.CPU(pid); err != nil {
			return load.Run{}, err
		}
	}
	run, err := do()
	if err != nil || run.Done == 0 {
		return run, err
	}
	var each []string
	for i, pid := range pids {
		after, err := proc.CPU(pid)
		if err != nil {
			return run, err
		}
		each = append(each, fmt.Sprintf("%s %d", names[i], (after-before[i]).Microseconds()/int64(run.Done*max(run.Each, 1))))
	}
	b.say("\nmicroseconds of processor time an operation: %s", strings.Join(each, ", "))
	return run, nil
}

// tops prints the shares of each profile in a column of its own.
func (b *bench) tops(ctx context.Context, files []string) error {
	w := tabwriter.NewWriter(b.out, 0, 0, 2, ' ', tabwriter.AlignRight)
	head, total := []any{"share of processor time, %"}, []any{"processor time, s"}
	var all [][]trace
	for _, f := range files {
		traces, err := readTraces(ctx, f)
		if err != nil {
			return err
		}
		all = append(all, traces)
		head = append(head, strings.TrimSuffix(filepath.Base(f), ".prof"))
		total = append(total, fmt.Sprintf("%.2f", below(traces, regexp.MustCompile(".")).Seconds()))
	}
	b.row(w, head...)
	b.row(w, total...)
	for _, s := range shares() {
		work := regexp.MustCompile(s[1])
		row := []any{s[0]}
		for _, traces := range all {
			sum := max(below(traces, regexp.MustCompile(".")), 1)
			row = append(row, fmt.Sprintf("%.1f", 100*float64(below(traces, work))/float64(sum)))
		}
		b.row(w, row...)
	}
	_ = w.Flush() // as in say
	b.say("the lines overlap; the profiles are %s", strings.Join(files, ", "))
	return nil
}

// trace is a stack with the time that was spent in its first function.
type trace struct {
	took  time.Duration
	stack []string
}

// below is the time spent in stacks that have one of the functions.
func below(traces []trace, functions *regexp.Regexp) (sum time.Duration) {
	for _, t := range traces {
		if slices.ContainsFunc(t.stack, functions.MatchString) {
			sum += t.took
		}
	}
	return sum
}

// readTraces has go tool pprof print a profile: blocks of lines, the first one of which
// begins with a time, and each of which ends with a function.
func readTraces(ctx context.Context, file string) ([]trace, error) {
	out, err := exec.CommandContext(ctx, "go", "tool", "pprof", "-traces", file).Output()
	if err != nil {
		return nil, fmt.Errorf("read profile %s: %w", file, err)
	}
	var all []trace
	open := false
	for line := range strings.Lines(string(out)) {
		switch fields := strings.Fields(line); {
		case strings.HasPrefix(line, "----"):
			open = true
			all = append(all, trace{})
		case !open || len(fields) == 0:
		default:
			last := &all[len(all)-1]
			if d, err := time.ParseDuration(fields[0]); err == nil && len(last.stack) == 0 {
				last.took, fields = d, fields[1:]
			}
			last.stack = append(last.stack, strings.Join(fields, " "))
		}
	}
	return all, nil
}
