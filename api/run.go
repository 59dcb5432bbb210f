package api

import (
	"strings"
	"time"
)

// Profile is how a tasklet is called.
type Profile string

// The profiles.
const (
	ProfileWASI Profile = "wasi"
	ProfileV0   Profile = "tasklet-profile-v0"
)

// Defaults and bounds of a run.
const (
	DefaultRunCPU   = 500      // millicores, a soft share
	DefaultRunMem   = 32 << 20 // bytes of linear memory
	MinRunMem       = 64 << 10 // one page of linear memory: no module has less
	DefaultRunTTL   = 60 * time.Second
	MaxModuleBytes  = 64 << 20
	MaxInputBytes   = 16 << 20
	MaxOutputBytes  = 8 << 20  // stdout
	MaxLogBytes     = 1 << 20  // stderr
	MaxInlineOutput = 64 << 10 // of text in the run record's answer
	MaxArgs         = 256
	MaxEnv          = 256
	MaxInvocation   = 128 << 10 // bytes of arguments and environment
	MaxRetries      = 10
	// MaxCheckpointBytes bounds what a tasklet leaves behind when its end is announced.
	MaxCheckpointBytes = 1 << 20
)

// RunRequest deploys one tasklet. Module, Input and Invocation were put as blobs before.
type RunRequest struct {
	Provider  ProviderID `json:"provider"`
	Tenant    TenantID   `json:"tenant,omitempty"`
	Tasklet   string     `json:"tasklet,omitempty"`
	Profile   Profile    `json:"profile,omitempty"`
	Module    Digest     `json:"module"`
	Resources Resources  `json:"resources"`
	TTLMs     int64      `json:"ttl_ms"`
	Priority  Priority   `json:"priority,omitempty"`
	Retries   int        `json:"retries,omitempty"`
	// Input is the blob of stdin; Invocation the blob of an Invocation. Both may be empty.
	Input      Digest `json:"input,omitempty"`
	Invocation Digest `json:"invocation,omitempty"`
	// Fuel is the instruction budget; 0 is the profile's default and -1 unlimited.
	Fuel int64 `json:"fuel,omitempty"`
	// Terms is what the resources must be beyond their amounts; nil is nothing.
	Terms *Terms `json:"terms,omitempty"`
}

// CheckNew is Check for a request that is made now. Logs of old hold runs with less memory than any
// module has, and are applied as they were.
func (r RunRequest) CheckNew() error {
	if err := r.Check(); err != nil {
		return err
	}
	return CheckRunMem(r.Resources.Mem)
}

// CheckRunMem refuses less memory than any module needs, before a cell does.
func CheckRunMem(mem int64) error {
	if mem >= MinRunMem {
		return nil
	}
	return Refuse(InvalidArgument, "a run with %d bytes of mem cannot be: a module has at least %d", mem, MinRunMem).
		WithHint("ask for 64K or more, as --mem 32M, which is the default; a size without a letter is bytes")
}

// Check refuses what can be refused without looking at the cluster.
func (r RunRequest) Check() error {
	lease := LeaseRequest{Provider: r.Provider, Resources: r.Resources, TTLMs: r.TTLMs, Priority: r.Priority, Terms: r.Terms}
	if err := lease.Check(); err != nil {
		return err
	}
	if r.Resources.Mem <= 0 || r.Resources.CPU <= 0 {
		return Refuse(InvalidArgument, "a run needs cpu and mem above zero: it asks for cpu %d and mem %d", r.Resources.CPU, r.Resources.Mem)
	}
	if r.Profile != "" && r.Profile != ProfileWASI && r.Profile != ProfileV0 {
		return Refuse(InvalidArgument, "profile %q is not one of wasi, tasklet-profile-v0", clip(string(r.Profile), 40))
	}
	if r.Retries < 0 || r.Retries > MaxRetries {
		return Refuse(InvalidArgument, "retries is %d: it must be from 0 to %d", r.Retries, MaxRetries)
	}
	if r.Fuel < -1 {
		return Refuse(InvalidArgument, "fuel is %d: it must be -1 (unlimited), 0 (the default) or more", r.Fuel)
	}
	if len(r.Tasklet) > MaxNameLen || strings.ContainsAny(r.Tasklet, "\x00\n") {
		return Refuse(InvalidArgument, "tasklet name %q is not a line of at most %d bytes", clip(r.Tasklet, 80), MaxNameLen)
	}
	if err := CheckDigest(r.Module); err != nil {
		return err
	}
	for _, d := range []Digest{r.Input, r.Invocation} {
		if d == "" {
			continue
		}
		if err := CheckDigest(d); err != nil {
			return err
		}
	}
	return nil
}

// Invocation is the blob of a run's arguments and environment: they may hold secrets, so
// they never enter the log.
type Invocation struct {
	Args []string `json:"args,omitempty"`
	Env  []string `json:"env,omitempty"` // KEY=VALUE
}

// Artifact is one output of a run.
type Artifact struct {
	Name   string `json:"name"`
	Digest Digest `json:"digest"`
	Size   int64  `json:"size"`
}

// The artifacts that every run has.
const (
	ArtifactResponse = "response.json"
	ArtifactOutput   = "output.b64"
	ArtifactLog      = "stderr.log"
	// ArtifactCheckpoint is what a run handed over before its announced end; few have one.
	ArtifactCheckpoint = "checkpoint"
)

// Failure says how a tasklet failed.
type Failure struct {
	Kind    Kind   `json:"kind"`
	Message string `json:"message"`
}

// Run is one execution of a tasklet. It is the stored record.
type Run struct {
	ID         RunID      `json:"run_id"`
	Tenant     TenantID   `json:"tenant"`
	Provider   ProviderID `json:"provider"`
	CellID     CellID     `json:"cell_id"`
	State      RunState   `json:"state"`
	Attempt    int        `json:"attempt"`
	Retries    int        `json:"retries,omitempty"`
	ExitCode   int        `json:"exit_code"`
	Tasklet    string     `json:"tasklet,omitempty"`
	Profile    Profile    `json:"profile"`
	Module     Digest     `json:"module"`
	Input      Digest     `json:"input,omitempty"`
	Invocation Digest     `json:"invocation,omitempty"`
	Fuel       int64      `json:"fuel,omitempty"`
	Resources  Resources  `json:"resources"`
	TTLMs      int64      `json:"ttl_ms"`
	Priority   Priority   `json:"priority"`
	Terms      *Terms     `json:"terms,omitempty"` // as they were asked for
	LeaseIDs   []LeaseID  `json:"lease_ids"`
	FuelUsed   int64      `json:"fuel_used"`
	DurationMs int64      `json:"duration_ms"`
	CPUMs      int64      `json:"cpu_ms,omitempty"` // of its worker, compiling included
	Net        *NetUsage  `json:"net,omitempty"`    // what went through its net lease
	Artifacts  []Artifact `json:"artifacts"`
	Failure    Failure    `json:"failure,omitzero"`
	// Finalised is set once, when the run has its result and every lease is terminal (L8).
	Finalised   bool      `json:"finalised"`
	CreatedAt   time.Time `json:"created_at"`
	StartedAt   time.Time `json:"started_at,omitzero"`
	FinishedAt  time.Time `json:"finished_at,omitzero"`
	FinalisedAt time.Time `json:"finalised_at,omitzero"`
	Ended       Tick      `json:"ended_tick,omitempty"`
	Modified    uint64    `json:"modified_index"`
}

// RunAnswer is a run as it is shown: its record, its leases, and its output when that is
// text and small.
type RunAnswer struct {
	Index uint64 `json:"index"`
	Run
	Leases []Lease `json:"leases"`
	Output string  `json:"output,omitempty"`
	Freshness
}

// RunList answers run list.
type RunList struct {
	Index    uint64 `json:"index"`
	Runs     []Run  `json:"runs"`
	NextPage string `json:"next_page_token,omitempty"`
	Freshness
}

// RunFilter narrows a list; empty fields do not.
type RunFilter struct {
	Tenant   TenantID
	Provider ProviderID
	Cell     CellID
	State    RunState
	Limit    int
	Page     string
}

// Response is the envelope in response.json.
type Response struct {
	RunID      RunID    `json:"run_id"`
	Module     Digest   `json:"module"`
	State      RunState `json:"state"`
	ExitCode   int      `json:"exit_code"`
	FuelUsed   int64    `json:"fuel_used"`
	DurationMs int64    `json:"duration_ms"`
	// CPUMs is the CPU time of the run's worker, compiling included, and CPUTier how its share was kept.
	CPUMs      int64   `json:"cpu_ms,omitempty"`
	CPUTier    CPUTier `json:"cpu_tier,omitempty"`
	OutputSize int64   `json:"output_size"`
	Output     Digest  `json:"output_sha256"` // of the raw output
	// Net is what went through the run's net lease; nil is that it had none.
	Net     *NetUsage `json:"net,omitempty"`
	Failure *Failure  `json:"failure,omitempty"`
}
