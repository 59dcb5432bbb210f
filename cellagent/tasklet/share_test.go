package tasklet

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/cellagent/work"
)

// looping is a job that computes until it is stopped.
func looping(t *testing.T, cpu int64, capped bool) work.Job {
	t.Helper()
	j := moduleJob(t, module{code: []byte{opLoop, void, opBr, 0, opEnd}}.bytes())
	j.CPU, j.CPUCapped = cpu, capped
	return j
}

// computing starts jobs and returns the pid of each one's worker when all of them compute. stop ends them.
func computing(t *testing.T, r *Runner, jobs ...work.Job) (pids []int, stop func() []work.Outcome) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	out := make([]work.Outcome, len(jobs))
	var wg sync.WaitGroup
	stop = func() []work.Outcome {
		cancel()
		wg.Wait()
		return out
	}
	t.Cleanup(func() { stop() })
	for i, j := range jobs {
		known := map[int]bool{}
		for _, pid := range children(t) {
			known[pid] = true
		}
		wg.Go(func() { out[i] = r.Run(ctx, j) })
		fresh := 0
		await(t, "a worker that computes", 20*time.Second, func() bool {
			for _, pid := range children(t) {
				if !known[pid] && cpuOf(pid) > 300*time.Millisecond { // its start and compiling take less
					fresh = pid
				}
			}
			return fresh != 0
		})
		pids = append(pids, fresh)
	}
	return pids, stop
}

// children are the processes that this one has started.
func children(t *testing.T) []int {
	t.Helper()
	lists, err := filepath.Glob("/proc/self/task/*/children")
	if err != nil || len(lists) == 0 {
		t.Skipf("the kernel does not list children: %v", err)
	}
	var pids []int
	for _, list := range lists {
		text, _ := os.ReadFile(list) // a thread that has ended has none
		for word := range strings.FieldsSeq(string(text)) {
			pid, err := strconv.Atoi(word)
			if err != nil {
				t.Fatal(err)
			}
			pids = append(pids, pid)
		}
	}
	return pids
}

func cpuOf(pid int) time.Duration {
	var ts unix.Timespec
	if unix.ClockGettime(cpuClock(pid), &ts) != nil {
		return 0
	}
	return time.Duration(ts.Nano())
}

// eachThread calls f with every thread of a process.
func eachThread(t *testing.T, pid int, f func(tid int)) {
	t.Helper()
	dirs, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*", pid))
	if err != nil || len(dirs) == 0 {
		t.Fatalf("process %d has no threads: %v", pid, err)
	}
	for _, dir := range dirs {
		tid, err := strconv.Atoi(filepath.Base(dir))
		if err != nil {
			t.Fatal(err)
		}
		f(tid)
	}
}

// used measures the CPU time of processes over d, all of them on one core.
func used(t *testing.T, d time.Duration, pids ...int) []time.Duration {
	t.Helper()
	for _, pid := range pids {
		eachThread(t, pid, func(tid int) {
			var core unix.CPUSet
			core.Set(0)
			if err := unix.SchedSetaffinity(tid, &core); err != nil {
				t.Skipf("workers cannot be put on one core here: %v", err)
			}
		})
	}
	before := make([]time.Duration, len(pids))
	for i, pid := range pids {
		before[i] = cpuOf(pid)
	}
	until := time.NewTimer(d)
	defer until.Stop()
	<-until.C
	for i, pid := range pids {
		before[i] = cpuOf(pid) - before[i]
	}
	return before
}

// grouped opens a Runner that makes groups in one of the test's own.
func grouped(t *testing.T) *Runner {
	t.Helper()
	name := groupRoot(t)
	return open(t, func(c *Config) { c.Cgroup = name })
}

// TestSharesByWeight: two workers that want one core get it by their shares.
func TestSharesByWeight(t *testing.T) {
	r := grouped(t)
	pids, stop := computing(t, r, looping(t, 250, false), looping(t, 750, false))
	got := used(t, 3*time.Second, pids...)
	ratio := float64(got[1]) / float64(got[0])
	t.Logf("shares of 250 and 750 got %s and %s: 1 to %.2f", got[0], got[1], ratio)
	if ratio < 2.2 || ratio > 4 {
		t.Errorf("shares of 1 to 3 got 1 to %.2f", ratio)
	}
	for i, out := range stop() {
		if out.CPUTier != api.CPUWeightV1 || out.CPU < got[i] {
			t.Errorf("run %d: share kept by %q, and it used %s", i, out.CPUTier, out.CPU)
		}
	}
	if r.Tier(api.PriorityStandard) != api.CPUWeightV1 || r.Tier(api.PriorityGuaranteed) != api.CPUQuotaV1 {
		t.Errorf("tiers are %s and %s", r.Tier(api.PriorityStandard), r.Tier(api.PriorityGuaranteed))
	}
}

// TestSharesByQuota: a capped worker gets no more than its share of an idle core, is killed at once
// all the same, and leaves no cap to the run that comes after it.
func TestSharesByQuota(t *testing.T) {
	r := grouped(t)
	pids, stop := computing(t, r, looping(t, 200, true))
	got := used(t, 2*time.Second, pids...)[0]
	t.Logf("a cap of 200 of 1000 used %s of 2s", got)
	if got > 600*time.Millisecond {
		t.Errorf("a cap of 200 millicores used %s of 2s", got)
	}
	began := time.Now()
	out := stop()[0]
	if took := time.Since(began); took > time.Second {
		t.Errorf("a capped worker took %s to end", took)
	}
	if out.CPUTier != api.CPUQuotaV1 {
		t.Errorf("its share was kept by %q", out.CPUTier)
	}
}

// TestCapFiles: what is written where the hierarchies are apart.
func TestCapFiles(t *testing.T) {
	g := &group{cpu: t.TempDir()}
	for _, step := range []struct {
		capped bool
		want   string
	}{{true, "2000 10000"}, {false, "-1 10000"}, {true, "2000 10000"}} {
		if held := step.capped && g.setCap(200) || !step.capped && g.lift(); !held {
			t.Errorf("capped %v is not written", step.capped)
		}
		if got := readLine(filepath.Join(g.cpu, "cpu.cfs_quota_us")) + " " + readLine(filepath.Join(g.cpu, "cpu.cfs_period_us")); got != step.want {
			t.Errorf("capped %v: quota and period are %s, want %s", step.capped, got, step.want)
		}
	}
	if g.setCap(10); readLine(filepath.Join(g.cpu, "cpu.cfs_period_us")) != "100000" {
		t.Error("a small cap has no longer period")
	}
}

// TestShareFilesV2: what is written where the hierarchies are one.
func TestShareFilesV2(t *testing.T) {
	g := &group{cpu: t.TempDir(), v2: true}
	says := func(file, want string) {
		t.Helper()
		if got := readLine(filepath.Join(g.cpu, file)); got != want {
			t.Errorf("%s is %q, want %q", file, got, want)
		}
	}
	if tier := g.share(750); tier != api.CPUWeightV2 {
		t.Errorf("a weight is %q", tier)
	}
	says("cpu.weight", "75")
	says("cpu.max", "")
	for cpu, want := range map[int64]string{1500: "15000 10000", 10: "1000 100000"} {
		if !g.setCap(cpu) {
			t.Errorf("a cap of %d is not written", cpu)
		}
		says("cpu.max", want)
	}
	if !g.lift() {
		t.Error("a cap is not lifted")
	}
	says("cpu.max", "max")
	if tier := (&group{cpu: "/nowhere", v2: true}).share(10); tier != "" {
		t.Errorf("a group that is not there keeps a share by %q", tier)
	}
}

// TestShareWithoutGroups: where there are none, a worker is nicer the smaller its share is, and the
// next run does not inherit that.
func TestShareWithoutGroups(t *testing.T) {
	r := open(t, func(c *Config) { c.Cgroup = "grafos-no-such-group" })
	if r.Tier(api.PriorityGuaranteed) != api.CPUNice {
		t.Fatalf("the tier is %s", r.Tier(api.PriorityGuaranteed))
	}
	pids, stop := computing(t, r, looping(t, 250, false))
	niceness := func(pid, want int) {
		t.Helper()
		eachThread(t, pid, func(tid int) {
			if got, err := unix.Getpriority(unix.PRIO_PROCESS, tid); err != nil || 20-got != want {
				t.Errorf("thread %d has niceness %d, want %d: %v", tid, 20-got, want, err)
			}
		})
	}
	niceness(pids[0], 11)
	if out := stop()[0]; out.CPUTier != api.CPUNice || out.CPU <= 0 {
		t.Errorf("its share was kept by %q, and it used %s", out.CPUTier, out.CPU)
	}
	small := moduleJob(t, module{}.bytes())
	small.CPU = 100
	if out := r.Run(t.Context(), small); out.State != api.RunSucceeded || out.CPUTier != api.CPUNice {
		t.Fatalf("got %s %+v, share kept by %q", out.State, out.Failure, out.CPUTier)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, p := range r.idle { // where the agent may not take it back it stays
		niceness(p.cmd.Process.Pid, p.nice)
	}
}

// TestNiceWorkers: where the agent may not make a worker less nice, it is parked as it is, also after a job
// that was not sent, and taken for jobs of no larger share.
func TestNiceWorkers(t *testing.T) {
	r := open(t, func(c *Config) { c.Cgroup = "grafos-no-such-group" })
	run := func(cpu int64, change func(*work.Job)) (pid, nice int) {
		t.Helper()
		j := moduleJob(t, module{}.bytes())
		j.CPU = cpu
		if change != nil {
			change(&j)
		}
		p, err := r.acquire(t.Context(), j.WithDefaults())
		if err != nil {
			t.Fatal(err)
		}
		e := execution{runner: r, process: p, job: j.WithDefaults()}
		var fit bool
		unprivileged(t, func() { _, fit = e.do(t.Context()) })
		if !fit {
			t.Errorf("a worker is not for another run after one with a share of %d", cpu)
		}
		r.release(p, fit)
		return p.cmd.Process.Pid, p.nice
	}
	small, nice := run(100, nil)
	if nice != 15 {
		t.Fatalf("a worker is parked with niceness %d, want 15", nice)
	}
	if again, _ := run(100, nil); again != small {
		t.Error("a job of the same share has a fresh worker")
	}
	large, nice := run(500, func(j *work.Job) { j.ModulePath = "/nowhere" }) // it is not sent
	if large == small || nice != 8 {
		t.Errorf("a job of a larger share has the nicer worker: %v, its niceness is %d, want 8", large == small, nice)
	}
	if again, _ := run(500, nil); again != large {
		t.Error("the worker of a job that was not sent is not reused")
	}
	if again, nice := run(50, nil); again != small || nice != 18 {
		t.Errorf("a smaller share has the nicer worker: %v, with niceness %d, want 18", again == small, nice)
	}
	if os.Geteuid() != 0 {
		return
	}
	unsent := looping(t, 50, false)
	unsent.ModulePath = "/nowhere"
	if out := r.Run(t.Context(), unsent); out.State != api.RunFailed {
		t.Errorf("a job without a module: %s", out.State)
	}
	for _, p := range r.idle {
		if p.cmd.Process.Pid == small && p.nice != workerNice {
			t.Errorf("a job that was not sent leaves niceness %d to a worker that may be less nice", p.nice)
		}
	}
}

// unprivileged calls f on a thread that may not make a process less nice.
func unprivileged(t *testing.T, f func()) {
	t.Helper()
	var wg sync.WaitGroup
	var err error
	wg.Go(func() {
		runtime.LockOSThread() // for good: it ends with the goroutine
		head := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
		var data [2]unix.CapUserData
		if err = unix.Capget(&head, &data[0]); err != nil {
			return
		}
		data[0].Effective &^= 1 << unix.CAP_SYS_NICE
		if err = unix.Capset(&head, &data[0]); err == nil {
			f()
		}
	})
	wg.Wait()
	if err != nil {
		t.Fatal(err)
	}
}

func TestNiceOfShare(t *testing.T) {
	for cpu, want := range map[int64]int{1: 19, 40: 19, 100: 15, 250: 11, 500: 8, 1000: 5, 8000: 5} {
		if got := niceOf(cpu); got != want {
			t.Errorf("a share of %d has niceness %d, want %d", cpu, got, want)
		}
	}
	cores := runtime.NumCPU()
	for cpu, want := range map[int64]int{1: 2, 1000: 2, 1001: min(2, cores) + 1, 1 << 30: cores + 1} {
		if got := procsOf(cpu); got != want {
			t.Errorf("a share of %d has %d threads, want %d", cpu, got, want)
		}
	}
	was := runtime.GOMAXPROCS(0)
	defer runtime.GOMAXPROCS(was)
	atATime(was + 1)
	if runtime.GOMAXPROCS(0) != was+1 {
		t.Error("the threads at a time are not bounded")
	}
}
