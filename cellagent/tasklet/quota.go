package tasklet

import (
	"os"
	"path/filepath"
	"strconv"
	"time"
)

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

// setCap caps the group. False is that it has no cap, or that nobody knows whether it has: lift tells.
func (g *group) setCap(millicores int64) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.dying || !g.uncap() {
		return false
	}
	g.capped = true // also when a file is not written: it may be the second one of two
	quota, period := quotaOf(millicores)
	us := func(d time.Duration) string { return strconv.FormatInt(d.Microseconds(), 10) }
	if g.v2 {
		return g.write(g.cpu, "cpu.max", us(quota)+" "+us(period))
	}
	return g.write(g.cpu, "cpu.cfs_period_us", us(period)) && g.write(g.cpu, "cpu.cfs_quota_us", us(quota))
}

// lift takes the cap away. False is that it may still be there: then the worker is not for another run.
func (g *group) lift() bool {
	if g == nil {
		return true
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.uncap()
}

// uncap writes that there is no cap, if there may be one. mu is held.
func (g *group) uncap() bool {
	if g.capped {
		file, none := g.noCap()
		g.capped = !g.write(g.cpu, file, none)
	}
	return !g.capped
}

func (g *group) noCap() (file, none string) {
	if g.v2 {
		return "cpu.max", "max"
	}
	return "cpu.cfs_quota_us", "-1"
}

// letGoLeast is the least weight of a group whose process dies, in cores: as much as two busy threads of the agent's
// have. More would keep the agent waiting while many gigabytes are given back.
const letGoLeast = 2

// letGo takes the cap away for good and makes the group heavy, before the worker is killed: a process is held to its
// cap and has its weight also while it takes the signal and the kernel takes its memory back.
func (g *group) letGo() {
	if g == nil {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.dying = true
	if g.cpu == "" {
		return
	}
	set := func(file, value string) {
		_ = os.WriteFile(filepath.Join(g.cpu, file), []byte(value), 0) // else it dies as slowly as it ran
	}
	if g.capped {
		set(g.noCap())
	}
	set(g.weightOf(max(letGoLeast*1000, g.shares)))
}
