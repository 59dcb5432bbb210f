package chaos

import (
	"fmt"
	"os"
	"runtime"
	"time"
)

// atEase stretches a bound where the machine has other work than this test: a process that
// does not run cannot be in time. The cluster and its clients alone keep the load below what
// stretches anything.
func (r *run) atEase(bound time.Duration) time.Duration {
	const own, most = 3, 8 // runnable processes a core
	b, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return bound
	}
	var load float64
	if _, err := fmt.Sscan(string(b), &load); err != nil {
		return bound
	}
	factor := min(load/float64(own*runtime.NumCPU()), most)
	if factor <= 1 {
		return bound
	}
	if !r.busy {
		r.busy = true
		r.t.Logf("the machine is busy (load %.1f): bounds are up to %.1f times longer", load, factor)
	}
	return time.Duration(factor * float64(bound)).Round(ms)
}
