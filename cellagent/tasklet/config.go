package tasklet

import (
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"time"

	"github.com/hashicorp/go-hclog"
)

// Config says how a Runner starts its workers and what they may take.
type Config struct {
	// Exe is the program of a worker; empty is the running one, also after its file
	// was replaced by an upgrade.
	Exe string
	// Args make Exe call Worker with whatever follows them; empty is {"tasklet-worker"}.
	Args []string
	// Dir holds compiled code, one directory a tenant. It is made with mode 0700 and must
	// be nobody else's: what is in it is executed.
	Dir string
	Log hclog.Logger
	// MaxWorkers bounds the worker processes, and so the runs at one time. 0 is four a
	// CPU, at least eight.
	MaxWorkers int
	// Idle is for how long a warm worker waits for its tenant's next run; 0 is one minute.
	Idle time.Duration
	// MaxCache bounds the bytes in Dir; 0 is 4 GiB.
	MaxCache int64
	// CompileCPU is the CPU time that a small module's compilation may take; more is
	// allowed for each megabyte. 0 is ten seconds.
	CompileCPU time.Duration
	// Overhead is what a worker may take beyond its guest's linear memory: compiler,
	// machine code, native stack. 0 is 1 GiB.
	Overhead int64
	// Cgroup is the control group, below the root of each hierarchy, in which the runner
	// may make one for each worker. Empty is the group that the agent runs in, where that
	// is the root, is owned by the agent's user, or is marked as delegated.
	Cgroup string
}

// withDefaults fills what c leaves open.
func (c Config) withDefaults() Config {
	if c.Exe == "" {
		c.Exe = "/proc/self/exe"
	}
	if len(c.Args) == 0 {
		c.Args = []string{"tasklet-worker"}
	}
	if c.MaxWorkers == 0 {
		c.MaxWorkers = max(8, 4*runtime.NumCPU())
	}
	if c.Idle == 0 {
		c.Idle = time.Minute
	}
	if c.MaxCache == 0 {
		c.MaxCache = 4 << 30
	}
	if c.CompileCPU == 0 {
		c.CompileCPU = 10 * time.Second
	}
	if c.Overhead == 0 {
		c.Overhead = 1 << 30
	}
	return c
}

// Validate names the field that cannot be.
func (c Config) Validate() error {
	if !filepath.IsAbs(c.Dir) {
		return fmt.Errorf("tasklet dir %q is not an absolute path", c.Dir)
	}
	if c.Log == nil {
		return errors.New("tasklet log is missing")
	}
	if c.MaxWorkers < 0 || c.Idle < 0 || c.MaxCache < 0 || c.CompileCPU < 0 || c.Overhead < 0 {
		return fmt.Errorf("tasklet limits cannot be negative: workers %d, idle %s, cache %d, compile %s, overhead %d",
			c.MaxWorkers, c.Idle, c.MaxCache, c.CompileCPU, c.Overhead)
	}
	return nil
}

// compileBudget returns the CPU time that compiling a module of size bytes may take. Honest
// modules take about a second a megabyte; a bomb takes many seconds a kilobyte.
func (c Config) compileBudget(size int64) time.Duration {
	return c.CompileCPU + time.Duration(size>>20)*2*time.Second
}
