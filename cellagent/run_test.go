package cellagent

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/cellagent/work"
)

// lastReport returns the newest report that was committed.
func (b *bench) lastReport() api.Report {
	b.cluster.mu.Lock()
	defer b.cluster.mu.Unlock()
	return b.cluster.reports[len(b.cluster.reports)-1]
}

// place makes a run with its leases, all in one change.
func (b *bench) place(id string, ttl time.Duration, change ...func(*api.Run)) {
	r := api.Run{
		ID: api.RunID(id), Tenant: "acme", Provider: "local", CellID: "local-1", State: api.RunPlaced, Attempt: 1,
		Profile: api.ProfileWASI, Module: b.cluster.blob("\x00asm module"), TTLMs: ttl.Milliseconds(),
		LeaseIDs: []api.LeaseID{api.LeaseID(id + "-cpu"), api.LeaseID(id + "-mem")},
	}
	for _, f := range change {
		f(&r)
	}
	stamp := stampOf(b.clock)
	if b.stamp != nil {
		stamp = *b.stamp
	}
	lease := func(id api.LeaseID, k api.LeaseKind, n int64) api.Lease {
		l := api.Lease{
			ID: id, RunID: r.ID, Tenant: "acme", Provider: "local", CellID: "local-1", Kind: k, Amount: n,
			State: api.LeaseActive, Generation: 1, Epoch: 7, TTLMs: ttl.Milliseconds(), Stamp: stamp,
		}
		if k == api.KindMem {
			l.Use = api.UseLinear
		}
		return l
	}
	b.cluster.change(func() {
		cpu, mem := lease(r.LeaseIDs[0], api.KindCPU, 500), lease(r.LeaseIDs[1], api.KindMem, 32<<20)
		cpu.Modified, mem.Modified, r.Modified = b.cluster.index, b.cluster.index, b.cluster.index
		b.cluster.leases[cpu.ID], b.cluster.leases[mem.ID], b.cluster.runs[r.ID] = cpu, mem, r
		for _, id := range r.LeaseIDs[2:] {
			l := lease(id, api.KindNet, r.Resources.Net)
			l.Modified = b.cluster.index
			b.cluster.leases[id] = l
		}
	})
}

// succeed is a runner that writes what it got.
func succeed(_ context.Context, j work.Job) work.Outcome {
	return work.Outcome{
		State: api.RunSucceeded, Stdout: append([]byte("out:"), j.Stdin...), Stderr: []byte("log"),
		Duration: 42 * time.Millisecond, FuelUsed: 9,
	}
}

func (b *bench) artifact(r api.Run, name string) string {
	b.t.Helper()
	b.cluster.mu.Lock()
	defer b.cluster.mu.Unlock()
	for _, a := range r.Artifacts {
		if a.Name == name {
			return string(b.cluster.blobs[a.Digest])
		}
	}
	b.t.Fatalf("run %s has no artifact %s: %+v", r.ID, name, r.Artifacts)
	return ""
}

func TestRunSucceeds(t *testing.T) {
	inBubble(t, func(b *bench) {
		t := b.t
		var seen work.Job
		var module string
		b.runner.do = func(ctx context.Context, j work.Job) work.Outcome {
			seen = j
			raw, err := os.ReadFile(j.ModulePath)
			if err != nil {
				t.Error(err)
			}
			module = string(raw)
			return succeed(ctx, j)
		}
		input := b.cluster.blob("hello")
		invocation := b.cluster.blob(`{"args":["-x"],"env":["A=1"]}`)
		now := b.clock.Now()
		b.place("r1", time.Minute, func(r *api.Run) { r.Input, r.Invocation, r.Fuel = input, invocation, -1 })
		synctest.Wait()
		r := b.cluster.run("r1")
		if r.State != api.RunSucceeded {
			t.Fatalf("run is %s (%+v), want succeeded", r.State, r.Failure)
		}
		if module != "\x00asm module" || string(seen.Stdin) != "hello" || seen.Args[0] != "-x" || seen.Env[0] != "A=1" || seen.Fuel != -1 {
			t.Errorf("job is %+v with module %q", seen, module)
		}
		if seen.Memory != 32<<20 || seen.CPU != 500 || seen.Deadline != now+int64(time.Minute) {
			t.Errorf("memory %d, cpu %d, deadline %d: want those of its leases", seen.Memory, seen.CPU, seen.Deadline)
		}
		if got, err := base64.StdEncoding.DecodeString(b.artifact(r, api.ArtifactOutput)); err != nil || string(got) != "out:hello" {
			t.Errorf("output is %q, %v", got, err)
		}
		if got := b.artifact(r, api.ArtifactLog); got != "log" {
			t.Errorf("log is %q", got)
		}
		var response api.Response
		if err := json.Unmarshal([]byte(b.artifact(r, api.ArtifactResponse)), &response); err != nil {
			t.Fatal(err)
		}
		if response.State != api.RunSucceeded || response.OutputSize != 9 || response.DurationMs != 42 || response.FuelUsed != 9 {
			t.Errorf("response is %+v", response)
		}
		for _, id := range r.LeaseIDs {
			if l := b.cluster.lease(id); l.State != api.LeaseTornDown || b.host.bound(id) {
				t.Errorf("lease %s is %s, bound %t", id, l.State, b.host.bound(id))
			}
		}
		b.checkResultFirst()
	})
}

// checkResultFirst checks C6 of run r1 over all committed reports.
func (b *bench) checkResultFirst() {
	const id = api.RunID("r1")
	b.t.Helper()
	b.cluster.mu.Lock()
	defer b.cluster.mu.Unlock()
	decided := false
	for _, r := range b.cluster.reports {
		for _, run := range r.Runs {
			decided = decided || run.RunID == id && run.State.Terminal()
		}
		for _, e := range r.Ended {
			if b.cluster.leases[e.LeaseID].RunID == id && !decided {
				b.t.Errorf("lease %s of run %s ended before the run had its result", e.LeaseID, id)
			}
		}
	}
	if !decided {
		b.t.Errorf("run %s never had a result", id)
	}
}

func TestRunIsReportedRunningWithItsBounds(t *testing.T) {
	inBubble(t, func(b *bench) {
		t := b.t
		b.place("r1", time.Minute)
		synctest.Wait()
		if r := b.cluster.run("r1"); r.State != api.RunRunning {
			t.Fatalf("run is %s, want running", r.State)
		}
	})
}

func TestRunEnds(t *testing.T) {
	tests := []struct {
		name  string
		setup func(b *bench)
		run   func(r *api.Run)
		after func(b *bench)
		state api.RunState
		kind  api.Kind
	}{
		{
			name: "exit code", state: api.RunFailed, kind: api.ExitNonzero,
			setup: func(b *bench) {
				b.runner.do = func(context.Context, work.Job) work.Outcome {
					return work.Outcome{State: api.RunFailed, ExitCode: 3, Failure: api.Failure{Kind: api.ExitNonzero, Message: "exit 3"}}
				}
			},
		},
		{
			name: "module is not there", state: api.RunFailed, kind: api.NotFound,
			run: func(r *api.Run) { r.Module = api.Digest("sha256:" + strings.Repeat("a", 64)) },
		},
		{
			name: "invocation is not JSON", state: api.RunFailed, kind: api.InvalidArgument,
			setup: func(b *bench) { b.cluster.blob("{") },
			run: func(r *api.Run) {
				r.Invocation = "sha256:021fb596db81e6d02bf3d2586ee3981fe519f275c0ac9ca76bbcf2ebb4097d96"
			},
		},
		{
			name: "time is up", state: api.RunExpired, kind: api.DeadlineExceeded,
			after: func(*bench) { pass(21 * time.Second) },
		},
		{
			name: "a lease is revoked", state: api.RunRevoked, kind: api.LeaseRevoked,
			after: func(b *bench) {
				l := b.cluster.lease("r1-cpu")
				l.State, l.Reason = api.LeaseForcedTeardown, "revoked"
				b.cluster.put(l)
			},
		},
		{
			name: "a lease is stale", state: api.RunLost, kind: api.WorkerLost,
			setup: func(b *bench) { b.stamp = &api.Stamp{BootID: "boot-0", BootTime: 1} },
		},
		{
			name: "bind refused", state: api.RunLost, kind: api.WorkerLost,
			setup: func(b *bench) { b.host.refuse = errors.New("full") },
		},
		{
			name: "output cannot be stored", state: api.RunLost, kind: api.WorkerLost,
			setup: func(b *bench) {
				b.runner.do = succeed
				b.cluster.putBlob = func(api.Digest) error { return api.Refuse(api.Forbidden, "no") }
			},
		},
		{
			name: "output cannot be stored in time", state: api.RunLost, kind: api.WorkerLost,
			setup: func(b *bench) {
				b.runner.do = succeed
				b.cluster.putBlob = func(api.Digest) error { return api.Refuse(api.NoLeader, "no quorum") }
			},
			after: func(*bench) { pass(40 * time.Second) },
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, func(b *bench) {
				t := b.t
				if tt.setup != nil {
					tt.setup(b)
				}
				b.place("r1", 20*time.Second, func(r *api.Run) {
					if tt.run != nil {
						tt.run(r)
					}
				})
				synctest.Wait()
				if tt.after != nil {
					tt.after(b)
				}
				pass(time.Second)
				r := b.cluster.run("r1")
				if r.State != tt.state || r.Failure.Kind != tt.kind {
					t.Fatalf("run is %s (%+v), want %s (%s)", r.State, r.Failure, tt.state, tt.kind)
				}
				for _, id := range r.LeaseIDs {
					if l := b.cluster.lease(id); l.State != api.LeaseTornDown || b.host.bound(id) {
						t.Errorf("lease %s is %s (%s), bound %t: want it torn down", id, l.State, l.Reason, b.host.bound(id))
					}
				}
				b.checkResultFirst()
			})
		})
	}
}

func TestWorkerThatDoesNotDieFencesItsLeases(t *testing.T) {
	inBubble(t, func(b *bench) {
		t := b.t
		end := make(chan struct{})
		b.runner.do = func(context.Context, work.Job) work.Outcome {
			<-end
			return work.Outcome{State: api.RunExpired}
		}
		b.place("r1", 5*time.Second)
		pass(7 * time.Second)
		if !b.host.bound("r1-mem") {
			t.Fatal("the memory of a living worker was given back")
		}
		close(end)
		pass(time.Second)
		for _, id := range []api.LeaseID{"r1-cpu", "r1-mem"} {
			if l := b.cluster.lease(id); l.State != api.LeaseFenced {
				t.Errorf("lease %s is %s, want fenced", id, l.State)
			}
		}
		if r := b.cluster.run("r1"); r.State != api.RunExpired {
			t.Errorf("run is %s, want expired", r.State)
		}
	})
}

func TestResultSurvivesLostAnswers(t *testing.T) {
	inBubble(t, func(b *bench) {
		t := b.t
		b.runner.do = succeed
		var lose atomic.Bool
		lose.Store(true)
		b.cluster.setJudge(func(_ string, r api.Report) (*api.ReportAnswer, error) {
			if lose.Load() && len(r.Runs) > 0 {
				return nil, api.Refuse(api.OutcomeUnknown, "the answer was lost")
			}
			return nil, nil
		})
		b.place("r1", time.Minute)
		pass(10 * time.Second)
		if r := b.cluster.run("r1"); r.State != api.RunPlaced {
			t.Fatalf("run is %s, want placed still", r.State)
		}
		lose.Store(false)
		pass(5 * time.Second)
		if r := b.cluster.run("r1"); r.State != api.RunSucceeded {
			t.Fatalf("run is %s, want succeeded", r.State)
		}
		if b.runner.count() != 1 {
			t.Fatalf("it ran %d times", b.runner.count())
		}
		b.checkResultFirst()
	})
}

func TestFetchIsRepeated(t *testing.T) {
	inBubble(t, func(b *bench) {
		t := b.t
		b.runner.do = succeed
		b.place("r1", time.Minute)
		b.place("r2", time.Minute)
		pass(time.Second)
		for _, id := range []api.RunID{"r1", "r2"} {
			if r := b.cluster.run(id); r.State != api.RunSucceeded {
				t.Errorf("%s is %s (%+v)", id, r.State, r.Failure)
			}
		}
	})
}

func TestNextAttemptOnTheSameCell(t *testing.T) {
	inBubble(t, func(b *bench) {
		t := b.t
		b.host.refuse = errors.New("full")
		b.place("r1", time.Minute)
		synctest.Wait()
		b.host.mu.Lock()
		b.host.refuse = nil
		b.host.mu.Unlock()
		b.runner.do = succeed
		b.place("r1", time.Minute, func(r *api.Run) { r.Attempt, r.LeaseIDs = 2, []api.LeaseID{"r1-cpu-2", "r1-mem-2"} })
		pass(time.Second)
		if r := b.cluster.run("r1"); r.State != api.RunSucceeded || r.Attempt != 2 {
			t.Fatalf("run is %s in attempt %d (%+v), want succeeded in 2", r.State, r.Attempt, r.Failure)
		}
	})
}

// TestEndIsNotRepeatedBeforeTheResult asks for a lease again that has ended while its run's
// output is still being stored.
func TestEndIsNotRepeatedBeforeTheResult(t *testing.T) {
	inBubble(t, func(b *bench) {
		t := b.t
		b.cluster.putBlob = func(api.Digest) error {
			time.Sleep(3 * time.Second)
			return nil
		}
		b.place("r1", 5*time.Second)
		pass(6 * time.Second)
		if l := b.cluster.lease("r1-mem"); b.host.bound(l.ID) || l.State != api.LeaseActive {
			t.Fatalf("lease is %s, bound %t: want it torn down and not reported yet", l.State, b.host.bound(l.ID))
		}
		b.cluster.put(b.cluster.lease("r1-mem"))
		pass(10 * time.Second)
		if r := b.cluster.run("r1"); r.State != api.RunExpired {
			t.Errorf("run is %s, want expired", r.State)
		}
		b.checkResultFirst()
	})
}
