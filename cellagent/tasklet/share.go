package tasklet

import (
	"math"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/cellagent/work"
)

// How the CPU share of a run is kept: a weight against other workers, by control group where there
// is one, by niceness else; and for a run of priority guaranteed also a cap, where there are groups: it
// gets what it has leased, no less and no more, however idle the host is.

// quotaPeriod is how often a capped worker is given its share anew. It bounds how long a worker that
// has used its share waits, also for its own end: a killed process needs the CPU to go.
const (
	quotaPeriod   = 10 * time.Millisecond
	quotaLeast    = time.Millisecond // of each period: the kernel takes no less
	quotaSmallest = 10               // millicores; a smaller cap would stretch the period beyond 100 ms
)

// quotaOf returns how much CPU time a cap of millicores is in which period.
func quotaOf(millicores int64) (quota, period time.Duration) {
	millicores = max(millicores, quotaSmallest)
	period = quotaPeriod
	quota = period * time.Duration(millicores) / 1000
	if quota < quotaLeast {
		quota, period = quotaLeast, quotaLeast*1000/time.Duration(millicores)
	}
	return quota, period
}

// share sets the weight of the group and its cap, 0 for none. It returns what took hold: nothing
// where there is no group for the CPU, or its files cannot be written.
func (g *group) share(millicores int64, capped bool) api.CPUTier {
	if g == nil || g.cpu == "" {
		return ""
	}
	file, weight := "cpu.shares", min(max(millicores*1024/1000, 2), 262_144) // 1024 is one core
	if g.v2 {
		file, weight = "cpu.weight", min(max(millicores/10, 1), 10_000) // 100 is one core
	}
	if !g.write(g.cpu, file, strconv.FormatInt(weight, 10)) {
		return ""
	}
	if held := g.limitQuota(millicores, capped); capped && held {
		return tierOf(g.v2, true)
	}
	return tierOf(g.v2, false)
}

// limitQuota caps the group, or lifts the cap of the run before.
func (g *group) limitQuota(millicores int64, capped bool) bool {
	quota, period := quotaOf(millicores)
	us := func(d time.Duration) string { return strconv.FormatInt(d.Microseconds(), 10) }
	switch {
	case !capped && g.written["cpu.max"] == "" && g.written["cpu.cfs_quota_us"] == "":
		return true // it never had one
	case g.v2 && capped:
		return g.write(g.cpu, "cpu.max", us(quota)+" "+us(period))
	case g.v2:
		return g.write(g.cpu, "cpu.max", "max "+us(quotaPeriod))
	case capped:
		return (g.written["cpu.cfs_period_us"] == us(period) || g.write(g.cpu, "cpu.cfs_quota_us", "-1") && g.write(g.cpu, "cpu.cfs_period_us", us(period))) &&
			g.write(g.cpu, "cpu.cfs_quota_us", us(quota))
	}
	return g.write(g.cpu, "cpu.cfs_quota_us", "-1")
}

func tierOf(v2, capped bool) api.CPUTier {
	switch {
	case v2 && capped:
		return api.CPUQuotaV2
	case v2:
		return api.CPUWeightV2
	case capped:
		return api.CPUQuotaV1
	}
	return api.CPUWeightV1
}

// tier returns how a share will be kept, as far as can be told before there is a worker.
func (g *groups) tier(capped bool) api.CPUTier {
	if g.cpu == "" {
		return api.CPUNice
	}
	return tierOf(g.v2, capped)
}

// Tier says how this host keeps the CPU share of a run of a priority.
func (r *Runner) Tier(p api.Priority) api.CPUTier { return r.groups.tier(p == api.PriorityGuaranteed) }

// shareCPU gives the worker the share of a run and returns how it is kept. A worker may have a weight
// of a run before.
func (p *process) shareCPU(j work.Job) api.CPUTier {
	nice, tier := workerNice, p.group.share(j.CPU, j.CPUCapped)
	if tier == "" {
		nice, tier = niceOf(j.CPU), api.CPUNice
	}
	if nice == p.nice {
		return tier
	}
	// All threads of the worker: it leads a process group in which there is nobody else.
	if err := unix.Setpriority(unix.PRIO_PGRP, p.cmd.Process.Pid, nice); err == nil {
		p.nice = nice
	}
	return tier
}

// freshen undoes what a run's share has left. False is that it may not: then the worker is not for
// another run.
func (p *process) freshen() bool {
	if p.nice == workerNice {
		return true
	}
	if err := unix.Setpriority(unix.PRIO_PGRP, p.cmd.Process.Pid, workerNice); err != nil {
		return false
	}
	p.nice = workerNice
	return true
}

// niceOf is a share as niceness: the kernel gives a process a fifth less for each step. A guest has one
// thread, so that a share above one core weighs no more than one.
func niceOf(millicores int64) int {
	steps := math.Log(1000/float64(min(max(millicores, 1), 1000))) / math.Log(1.25)
	return min(workerNice+int(math.Round(steps)), 19)
}

// procsOf is how many threads of a worker may run at a time: those of the guest's share, and one that
// takes what the agent says while the guest computes.
func procsOf(millicores int64) int {
	cores := (millicores + 999) / 1000
	return int(min(cores, int64(runtime.NumCPU()))) + 1
}

// cpuTime returns the CPU time that a process has used, compiling included; it may be dead.
func (p *process) cpuTime() time.Duration {
	select {
	case <-p.dead:
		return p.cpu()
	default:
	}
	var ts unix.Timespec
	if err := unix.ClockGettime(cpuClock(p.cmd.Process.Pid), &ts); err != nil {
		<-p.dead // only a process that is gone has no clock
		return p.cpu()
	}
	return time.Duration(ts.Nano())
}

// cpuClock is the clock of a process's CPU time, as clock_getcpuclockid(3) makes it.
func cpuClock(pid int) int32 {
	const scheduled = 2
	return int32(^pid<<3 | scheduled) //nolint:gosec // a pid has 22 bits
}

// write writes a file of the group unless it says so already. False is that it could not.
func (g *group) write(dir, file, value string) bool {
	if g.written[file] == value {
		return true
	}
	if err := os.WriteFile(filepath.Join(dir, file), []byte(value), 0); err != nil {
		delete(g.written, file)
		return false
	}
	if g.written == nil {
		g.written = map[string]string{}
	}
	g.written[file] = value
	return true
}
