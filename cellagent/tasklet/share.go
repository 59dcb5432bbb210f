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

// share sets the weight of the group. It returns what took hold: nothing where there is no group for the
// CPU, or its file cannot be written.
func (g *group) share(millicores int64) api.CPUTier {
	if !g.keepsCPU() {
		return ""
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.dying {
		return tierOf(g.v2, false) // it keeps what letGo has given it
	}
	g.shares = millicores
	if file, weight := g.weightOf(millicores); !g.write(g.cpu, file, weight) {
		return ""
	}
	return tierOf(g.v2, false)
}

// weightOf returns the file of the group's weight, and what stands in it for a share.
func (g *group) weightOf(millicores int64) (file, weight string) {
	if g.v2 {
		return "cpu.weight", strconv.FormatInt(min(max(millicores/10, 1), 10_000), 10) // 100 is one core
	}
	return "cpu.shares", strconv.FormatInt(min(max(millicores*1024/1000, 2), 262_144), 10) // 1024 is one core
}

// keepsCPU reports whether the share of a worker in the group is the group's to keep.
func (g *group) keepsCPU() bool { return g != nil && g.cpu != "" }

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
// of a run before. The run's cap comes with capCPU.
func (p *process) shareCPU(j work.Job) api.CPUTier {
	nice, tier := workerNice, p.group.share(j.CPU)
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

// capCPU holds the worker to the share of a run that is capped, and returns how it is kept now; tier is
// how it was. Until guest code is entered the worker compiles, while others wait for it: so it is called then.
func (p *process) capCPU(j work.Job, tier api.CPUTier) api.CPUTier {
	if j.CPUCapped && tier != api.CPUNice && p.group.setCap(j.CPU) {
		return tierOf(p.group.v2, true)
	}
	return tier
}

// freshen undoes what a run's share has left. False is that it may not: then the worker is not for
// another run. One that the agent may not make less nice stays as it is, for jobs that suit it.
func (p *process) freshen() bool {
	if !p.group.lift() {
		return false
	}
	if p.nice == workerNice {
		return true
	}
	if err := unix.Setpriority(unix.PRIO_PGRP, p.cmd.Process.Pid, workerNice); err == nil {
		p.nice = workerNice
	}
	return true
}

// suits reports whether the worker may have a job: it is of the tenant, and no nicer than the job's share
// makes it, which only an agent with CAP_SYS_NICE could undo.
func (p *process) suits(j work.Job) bool {
	nice := workerNice
	if !p.group.keepsCPU() {
		nice = niceOf(j.CPU)
	}
	return p.tenant == j.Tenant && p.nice <= nice
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
