package api

import (
	"context"
	"io"
	"iter"
	"time"
)

// Consistency says how fresh a read must be.
type Consistency string

// The two: linearizable sees every write that was acknowledged before it began, on every
// scheduler; stale answers at once from the local state.
const (
	Linearizable Consistency = "linearizable"
	Stale        Consistency = "stale"
)

// ReadOptions apply to every read. The zero value is a linearizable read that does not wait.
type ReadOptions struct {
	Consistency Consistency
	// MaxStale is how old a stale answer may be: a scheduler that has not heard its leader for
	// longer answers a linearizable read instead. 0 is no bound.
	MaxStale time.Duration
	// AfterIndex and Wait block the read until something of its answer changed after
	// AfterIndex, at most Wait and a little more (WaitJitter). An index that the cluster has not
	// come to is that of a state which was lost: the read then does not block.
	AfterIndex uint64
	Wait       time.Duration
}

// MaxWait bounds a blocking read. A wait that ends without a change ends up to a WaitJitter-th
// later than it was asked to, so that readers who began together do not come back together.
const (
	MaxWait    = 5 * time.Minute
	WaitJitter = 16
)

// NeverHeard is the age of a state of which nothing is known.
const NeverHeard = -time.Millisecond

// Freshness is what an answer to a stale read says of its age.
type Freshness struct {
	// LastContactMs is for how long, in milliseconds, the scheduler that answered had not heard
	// its leader: what was committed since may be missing. It is there in the answers to
	// stale reads only, and NeverHeard in milliseconds where that one has heard none since it
	// was started.
	LastContactMs *int64 `json:"last_contact_ms,omitempty"`
}

// WriteOptions apply to every write.
type WriteOptions struct {
	// IdempotencyKey makes repeating the write harmless: it belongs to its tenant and is
	// kept for 24 h. A client that gives none gets one made.
	IdempotencyKey string
	Reason         string
	DryRun         bool
}

// MaxKeyLen bounds an idempotency key.
const MaxKeyLen = 128

// CheckKey refuses what is no idempotency key: one that is given has from 1 to MaxKeyLen
// characters of printable ASCII, and no space.
func CheckKey(key string) error {
	if key == "" {
		return Refuse(InvalidArgument, "the idempotency key is empty: nothing would tell a repetition from another request").
			WithHint("give one, of a variable that is set, or leave it out: one is made")
	}
	if len(key) > MaxKeyLen {
		return Refuse(InvalidArgument, "the idempotency key has %d bytes: at most %d", len(key), MaxKeyLen)
	}
	for _, r := range key {
		if r <= ' ' || r > '~' {
			return Refuse(InvalidArgument, "the idempotency key has a character %q: use printable ASCII without spaces", r)
		}
	}
	return nil
}

// The services below are implemented twice: by the scheduler over its replicated state, and
// by the client over HTTP. Errors are *Error throughout. The caller's identity travels in the
// context (WithCaller) on the scheduler, and in the certificate or token from the client.

// Providers reads and switches providers, and takes their cells out for good.
type Providers interface {
	ListProviders(ctx context.Context, o ReadOptions) (*ProviderList, error)
	// ProviderStatus refuses an unknown provider with not_found.
	ProviderStatus(ctx context.Context, p ProviderID, o ReadOptions) (*ProviderStatus, error)
	// EnableProvider switches new admissions on or off; running work goes on.
	EnableProvider(ctx context.Context, p ProviderID, on bool, o WriteOptions) (*ProviderStatus, error)
	// RevokeCell begins a revocation and returns when that is committed; the cell's state
	// and its leases tell how it goes on.
	RevokeCell(ctx context.Context, p ProviderID, c CellID, r RevokeCellRequest, o WriteOptions) (*ProviderStatus, error)
}

// Cells reads the fleet.
type Cells interface {
	ListCells(ctx context.Context, p ProviderID, o ReadOptions) (*CellList, error)
	// DrainCell has a cell take no new work, and UndrainCell has it take work again. Both answer when
	// that is committed; CellDrain tells how it goes on.
	DrainCell(ctx context.Context, c CellID, r DrainRequest, o WriteOptions) (*CellAnswer, error)
	UndrainCell(ctx context.Context, c CellID, o WriteOptions) (*CellAnswer, error)
	// CellDrain lists the leases that a cell which is drained or revoked still has, with what the end
	// of each waits for. It blocks for changes of the cell and of its leases.
	CellDrain(ctx context.Context, c CellID, o ReadOptions) (*CellDrain, error)
	Conformance
}

// Conformance proves cells, and says where that is required.
type Conformance interface {
	// ConformCell runs the conformance suite against a cell and yields each check, and last the report,
	// which is recorded; or an error in its place, when the suite could not be run to its end.
	ConformCell(ctx context.Context, p ProviderID, c CellID, o WriteOptions) iter.Seq2[ConformanceStep, error]
	MarkProvider(ctx context.Context, p ProviderID, r MarkRequest, o WriteOptions) (*ProviderStatus, error)
	MarkCell(ctx context.Context, c CellID, r MarkRequest, o WriteOptions) (*CellAnswer, error)
}

// CellAgent is what a cell calls.
type CellAgent interface {
	// Bootstrap is the only call that needs no certificate: the token is its proof.
	Bootstrap(ctx context.Context, r BootstrapRequest) (*BootstrapAnswer, error)
	Register(ctx context.Context, r RegisterRequest) (*RegisterAnswer, error)
	// RenewIdentity has a new key certified under the one that the caller is bound to. That one
	// stays bound until the cell registers under the new one.
	RenewIdentity(ctx context.Context, p ProviderID, c CellID, r RenewalRequest) (*BootstrapAnswer, error)
	// Watch opens a session and yields its messages until it ends; the last one may carry
	// an error instead.
	Watch(ctx context.Context, p ProviderID, c CellID, r WatchRequest) iter.Seq2[Desired, error]
	// Report returns when everything in the report is committed.
	Report(ctx context.Context, p ProviderID, c CellID, r Report) (*ReportAnswer, error)
	CellRelay
}

// Leases grants and reads leases.
type Leases interface {
	// RequestLeases grants all or none, on one cell, and answers when the cell has bound
	// them: with one of the four refusals, or bind_timeout.
	RequestLeases(ctx context.Context, r LeaseRequest, o WriteOptions) (*GrantSet, error)
	RequestBatch(ctx context.Context, r BatchRequest, o WriteOptions) (*BatchAnswer, error)
	ListLeases(ctx context.Context, f LeaseFilter, o ReadOptions) (*LeaseList, error)
	ShowLease(ctx context.Context, id LeaseID, o ReadOptions) (*LeaseAnswer, error)
	// RenewLease extends the deadline from now and answers when the cell has applied it.
	RenewLease(ctx context.Context, id LeaseID, r RenewRequest, o WriteOptions) (*LeaseAnswer, error)
	// LeaseToken asks the cell for a fresh capability token.
	LeaseToken(ctx context.Context, id LeaseID, o WriteOptions) (*LeaseAnswer, error)
}

// LeaseEnds ends leases. Both answer when the end is committed; the cell's teardown follows.
type LeaseEnds interface {
	FreeLease(ctx context.Context, id LeaseID, o WriteOptions) (*LeaseAnswer, error)
	// UnfenceLease clears the fence of a lease whose teardown failed.
	UnfenceLease(ctx context.Context, id LeaseID, o WriteOptions) (*LeaseAnswer, error)
	RevokeLease(ctx context.Context, id LeaseID, r RevokeRequest, o WriteOptions) (*LeaseAnswer, error)
}

// Runs plans, starts and reads runs.
type Runs interface {
	// Plan changes nothing; a refusal is in the plan, not an error.
	Plan(ctx context.Context, r PlanRequest, o ReadOptions) (*Plan, error)
	// StartRun admits and places; it answers when the run's record is committed.
	StartRun(ctx context.Context, r RunRequest, o WriteOptions) (*RunAnswer, error)
	ListRuns(ctx context.Context, f RunFilter, o ReadOptions) (*RunList, error)
	ShowRun(ctx context.Context, id RunID, o ReadOptions) (*RunAnswer, error)
	// RunArtifact opens one artifact; the caller closes it.
	RunArtifact(ctx context.Context, id RunID, name string) (io.ReadCloser, Artifact, error)
}

// Blobs keeps content-addressed bytes: modules, inputs, artifacts.
type Blobs interface {
	// PutBlob stores size bytes under their digest and returns when a quorum of schedulers
	// has them on disk. Other bytes are refused with digest_mismatch.
	PutBlob(ctx context.Context, d Digest, size int64, r io.Reader) error
	// GetBlob opens a blob; the caller closes it. It refuses what no scheduler has with not_found.
	GetBlob(ctx context.Context, d Digest) (io.ReadCloser, int64, error)
	// HasBlob reports whether a quorum has it.
	HasBlob(ctx context.Context, d Digest) (bool, error)
}

// Tenants keeps tenants and their quotas.
type Tenants interface {
	CreateTenant(ctx context.Context, t TenantID, o WriteOptions) (*TenantAnswer, error)
	ListTenants(ctx context.Context, o ReadOptions) (*TenantList, error)
	SetQuota(ctx context.Context, t TenantID, q Quota, o WriteOptions) (*TenantAnswer, error)
	// DeleteTenant refuses a tenant with live leases with tenant_has_leases.
	DeleteTenant(ctx context.Context, t TenantID, o WriteOptions) (*TenantAnswer, error)
}

// Audit reads the audit chain.
type Audit interface {
	AuditRecords(ctx context.Context, f AuditFilter, o ReadOptions) (*AuditPage, error)
}

// Events streams changes of the state.
type Events interface {
	// Events yields events until ctx ends; the last one may carry an error instead.
	Events(ctx context.Context, f EventFilter) iter.Seq2[Event, error]
}

// Operator looks after the schedulers themselves.
type Operator interface {
	NodeState(ctx context.Context) (*NodeState, error)
	Schedulers(ctx context.Context) (*SchedulerList, error)
	// Debug asks the scheduler that answers for everything that it can say of itself.
	Debug(ctx context.Context) (*DebugReport, error)
	RaftGroup
	Snapshots
}

// Snapshots takes the whole state out of a cluster, and puts one back.
type Snapshots interface {
	// SaveSnapshot opens an archive of the state, which proves itself when it is read to its
	// end: the leader's, with everything acknowledged before the call, or, stale, that of the
	// scheduler that is asked. The caller closes it.
	SaveSnapshot(ctx context.Context, stale bool) (io.ReadCloser, error)
	// RestoreSnapshot replaces the state of the whole cluster by that of an archive of size
	// bytes. Every lease in it is ended, and every token and session is void.
	RestoreSnapshot(ctx context.Context, size int64, archive io.Reader, o WriteOptions) (*RestoreReport, error)
}

// RaftGroup is the Raft group in an operator's hands.
type RaftGroup interface {
	// RaftMembers lists the members as their leader sees them.
	RaftMembers(ctx context.Context) (*RaftMembers, error)
	// RaftTransfer hands leadership to a voter, to the one that is furthest when to is "", and
	// answers when that one leads.
	RaftTransfer(ctx context.Context, to NodeID, o WriteOptions) (*RaftTransfer, error)
	// RaftRemove takes a member out and answers with those that are left. It refuses with
	// conflict what would leave them without a quorum that answers, unless it is forced.
	RaftRemove(ctx context.Context, id NodeID, force bool, o WriteOptions) (*RaftMembers, error)
}

// Peers is what one scheduler asks another; only the scheduler role may.
type Peers interface {
	ReadIndex(ctx context.Context) (*ReadIndex, error)
	Sightings(ctx context.Context) (*SightingTable, error)
	// TakeReport commits the effects of a report that another scheduler took; leader only.
	TakeReport(ctx context.Context, p ProviderID, c CellID, r Report) (*ReportAnswer, error)
	// AskCell hands an ask to the session of a cell, where this node holds it: not_found otherwise.
	AskCell(ctx context.Context, c CellID, a Ask) error
	Membership
	Replicas
}

// Membership is what the schedulers ask one another about the Raft group.
type Membership interface {
	// Member tells of the peer's place in it.
	Member(ctx context.Context) (*MemberState, error)
	// Dismiss tells the peer that an operator removes it, who and why: once it is no member, it
	// does not ask to come back.
	Dismiss(ctx context.Context, d Dismissal) error
}

// Replicas is what the schedulers keep for each other; only the scheduler role may.
type Replicas interface {
	PutReplica(ctx context.Context, d Digest, size int64, r io.Reader) error
	GetReplica(ctx context.Context, d Digest) (io.ReadCloser, int64, error)
	// ReferBlob commits that a tenant put a blob which a quorum has; leader only.
	ReferBlob(ctx context.Context, t TenantID, d Digest, size int64) error
	// AuditReplica reads this node's own copy of the audit chain, for one that misses a part.
	AuditReplica(ctx context.Context, f AuditFilter) (*AuditPage, error)
}

// Services is everything that a user's client can ask a scheduler.
type Services interface {
	Providers
	Cells
	Leases
	LeaseEnds
	Runs
	UserServices
}

// UserServices is the rest of Services.
type UserServices interface {
	Blobs
	Relay
	Tenants
	Audit
	Events
	Operator
}
