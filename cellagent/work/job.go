// Package work is what a cell hands to whatever executes its tasklets, and what comes back.
package work

import (
	"strings"
	"time"

	"github.com/grafos/grafos/api"
)

// Job is one run of one module.
type Job struct {
	Run        api.RunID
	Tenant     api.TenantID
	Name       string // the guest's argv[0]; empty is "tasklet"
	Profile    api.Profile
	Module     api.Digest // what the bytes at ModulePath must hash to
	ModulePath string
	Args, Env  []string // Env as KEY=VALUE
	Stdin      []byte
	// Memory is the linear memory limit in bytes; 0 is api.DefaultRunMem.
	Memory int64
	// CPU is a share in millicores: it weighs when workers compete. 0 is api.DefaultRunCPU. CPUCapped
	// makes it the most that the run gets, too, where the host can.
	CPU       int64
	CPUCapped bool
	// Fuel is the instruction budget: 0 and -1 are unlimited. No other is metered yet.
	Fuel int64
	// Deadline is when the guest dies, whoever is alive, in CLOCK_BOOTTIME nanoseconds.
	Deadline int64
	// Word tells the run what changes while it runs; nil is nothing. Its deadline is the newer one.
	Word *Word
	// Saved is called when the guest, after its end was announced, has handed over its checkpoint; it
	// does not wait for anything. nil is that nobody wants to know.
	Saved func()
	// Net is what the guest may reach; nil is nothing.
	Net Net
	// MaxOutput and MaxLog bound stdout and stderr in bytes; 0 are api.MaxOutputBytes
	// and api.MaxLogBytes, which are also the most that can be asked for.
	MaxOutput, MaxLog int64
}

// Outcome is what became of a run. Stdout and Stderr hold what the guest wrote before it
// ended, however it ended.
type Outcome struct {
	State          api.RunState // succeeded, failed, expired or revoked
	ExitCode       int
	Failure        api.Failure
	Stdout, Stderr []byte
	Checkpoint     []byte        // what the guest handed over before its announced end; nil is nothing
	Duration       time.Duration // of guest code; zero when none was entered
	FuelUsed       int64
	CPU            time.Duration // CPU time of the worker, compiling included
	CPUTier        api.CPUTier   // how its share was kept; "" where nothing ran
	Net            *api.NetUsage // what went through its net lease; nil is that it had none
}

// Failed makes the outcome of a run that failed.
func Failed(f api.Failure) Outcome { return Outcome{State: api.RunFailed, Failure: f} }

// WithDefaults fills what the job leaves open.
func (j Job) WithDefaults() Job {
	if j.Name == "" {
		j.Name = "tasklet"
	}
	if j.Profile == "" {
		j.Profile = api.ProfileWASI
	}
	if j.Memory == 0 {
		j.Memory = api.DefaultRunMem
	}
	if j.CPU == 0 {
		j.CPU = api.DefaultRunCPU
	}
	if j.Word == nil {
		j.Word = NewWord(j.Deadline)
	}
	if j.MaxOutput <= 0 || j.MaxOutput > api.MaxOutputBytes {
		j.MaxOutput = api.MaxOutputBytes
	}
	if j.MaxLog <= 0 || j.MaxLog > api.MaxLogBytes {
		j.MaxLog = api.MaxLogBytes
	}
	return j
}

// Check refuses a job that no worker could run as it is.
func (j Job) Check() error {
	if err := api.CheckName("tenant", string(j.Tenant)); err != nil {
		return err
	}
	if err := api.CheckDigest(j.Module); err != nil {
		return err
	}
	if j.Profile != api.ProfileWASI {
		return api.Refuse(api.InvalidModule, "profile %q does not run on this cell: it runs wasi", j.Profile)
	}
	if j.Fuel > 0 {
		return api.Refuse(api.InvalidArgument, "fuel is %d: profile wasi runs unmetered here, ask for unlimited (-1)", j.Fuel)
	}
	if j.Deadline <= 0 {
		return api.Refuse(api.InvalidArgument, "a run without a deadline is not started")
	}
	if j.Memory < api.MinRunMem {
		return api.Refuse(api.InvalidArgument, "memory is %d bytes: a module has at least %d", j.Memory, api.MinRunMem)
	}
	if len(j.Stdin) > api.MaxInputBytes {
		return api.Refuse(api.TooLarge, "input has %d bytes: at most %d", len(j.Stdin), api.MaxInputBytes)
	}
	return j.checkInvocation()
}

// checkInvocation refuses arguments and environment that are too many, too long, or that
// WASI cannot carry.
func (j Job) checkInvocation() error {
	if len(j.Args) > api.MaxArgs || len(j.Env) > api.MaxEnv {
		return api.Refuse(api.TooLarge, "%d arguments and %d variables: at most %d and %d",
			len(j.Args), len(j.Env), api.MaxArgs, api.MaxEnv)
	}
	size := 0
	for _, s := range append(append([]string{j.Name}, j.Args...), j.Env...) {
		if strings.ContainsRune(s, 0) {
			return api.Refuse(api.InvalidArgument, "an argument or variable holds a NUL byte")
		}
		size += len(s)
	}
	for i, s := range j.Env {
		if key, _, ok := strings.Cut(s, "="); !ok || key == "" {
			return api.Refuse(api.InvalidArgument, "variable %d is not KEY=VALUE", i)
		}
	}
	if size > api.MaxInvocation {
		return api.Refuse(api.TooLarge, "arguments and environment have %d bytes: at most %d", size, api.MaxInvocation)
	}
	return nil
}
