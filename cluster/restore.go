package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
	"github.com/klauspost/compress/zstd"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/fsm"
)

// restoreTime bounds how long the others may take to get a restored state.
const restoreTime = 2 * time.Minute

// SaveSnapshot takes a snapshot and opens it as an archive: on the leader, unless stale, with
// everything that was acknowledged before.
func (n *Node) SaveSnapshot(ctx context.Context, stale bool) (io.ReadCloser, error) {
	if !stale {
		if !n.Leads() {
			return nil, n.notLeading()
		}
		if err := n.Verify(ctx); err != nil {
			return nil, api.Refuse(api.NoLeader, "scheduler %s does not lead: %v", n.cfg.Node, err)
		}
	}
	err := n.await(ctx, func() raft.Future { return n.raft.Snapshot() })
	if err != nil && !errors.Is(err, raft.ErrNothingNewToSnapshot) {
		return nil, fmt.Errorf("take snapshot: %w", err)
	}
	metas, err := n.storage.Snapshots.List()
	if err != nil {
		return nil, fmt.Errorf("list snapshots: %w", err)
	}
	if len(metas) == 0 || n.storage.Export == nil {
		return nil, api.Refuse(api.NotFound, "scheduler %s has no state to take a snapshot of", n.cfg.Node)
	}
	r, w := io.Pipe()
	if !n.calls.start(func() { w.CloseWithError(n.storage.Export(metas[0].ID, w)) }) {
		return nil, api.Refuse(api.NoLeader, "this scheduler stops")
	}
	return r, nil
}

// ReadState reads what a snapshot holds, to its end.
func ReadState(r io.Reader) (*fsm.View, error) {
	m := &machine{Machine: fsm.New(fsm.Options{Log: hclog.NewNullLogger()})}
	if err := m.Restore(io.NopCloser(r)); err != nil {
		return nil, err
	}
	return m.View(), nil
}

// Restore is a state to put in place of the cluster's.
type Restore struct {
	// ID names the restore: what was done under it is not done again. Digest is of the archive:
	// another one under the same ID is refused.
	ID, Digest, Actor, Reason string
	// Index and Term are of the snapshot, as its archive says.
	Index, Term uint64
	State       io.Reader
	DryRun      bool
}

// Restore replaces the state of the whole cluster, on the leader. The state that it puts there
// is one step further than the snapshot: the restore is applied to it before anybody sees it,
// so that its fencing numbers are ahead of all that were given, in a cluster epoch of its own.
// While it lasts nothing is decided; the leader's memory is rebuilt after it.
func (n *Node) Restore(ctx context.Context, q Restore) (*api.RestoreReport, error) {
	if !n.Leads() {
		return nil, n.notLeading()
	}
	now := n.machine.View()
	if report, err := q.doneBefore(now); report != nil || err != nil {
		return report, err
	}
	q.ID = q.recovery()
	var tail []api.AuditRecord
	aside := &machine{Machine: fsm.New(fsm.Options{Log: n.log.Named("restore"), Audit: func(recs []api.AuditRecord) error {
		for _, r := range recs {
			tail = append(tail, r.Clone())
		}
		return nil
	}})}
	if err := aside.Restore(io.NopCloser(q.State)); err != nil {
		if fault, is := errors.AsType[*fsm.SnapshotError](err); is && fault.Fault == fsm.FaultLevel {
			return nil, tooNew("the archive is of a newer release: %v", err)
		}
		return nil, fmt.Errorf("read the archive: %w", err)
	}
	v := aside.View()
	if v.ClusterID() != n.cfg.ClusterID {
		return nil, api.Refuse(api.Conflict, "the archive is of cluster %s, this is cluster %s", v.ClusterID(), n.cfg.ClusterID).
			WithHint("which file is of which cluster: grafos operator snapshot inspect FILE")
	}
	if v.Level() > now.Level() {
		return nil, tooNew("the archive is of feature level %d, the cluster is at %d: a scheduler of an older release could not read it", v.Level(), now.Level())
	}
	report := &api.RestoreReport{DryRun: q.DryRun, Newest: v.Epoch(), Before: counts(now), Snapshot: counts(v)}
	report.LeasesLost, report.LeasesEnded = compareLeases(now, v)
	revoked := now.Revocations(q.Actor)
	report.StillRevoked = len(forgotten(v, revoked))
	if _, err := barAgain(v, now.Level(), revoked); err != nil {
		return nil, err
	}
	if q.DryRun {
		return report, nil
	}
	report.Recovery = q.ID
	if err := n.pauseLead(ctx, func() error { return n.replace(aside, q, report, &tail) }); err != nil {
		return nil, err
	}
	return report, nil
}

// tooNew refuses a state that some scheduler, or all, could not read.
func tooNew(format string, args ...any) *api.Error {
	return api.Refuse(api.Conflict, format, args...).WithHint("bring every scheduler to the newest release first: grafos operator raft list")
}

// recovery is the id that the restore is remembered by: it says of which archive it was.
func (q Restore) recovery() string {
	if q.Digest == "" {
		return q.ID
	}
	return q.ID + "-" + q.Digest[:min(len(q.Digest), digestKept)]
}

// digestKept is how much of an archive's digest its restore is remembered by, in hex digits.
const digestKept = 16

// doneBefore answers a restore whose ID is known already, since the answer was lost; nil is that
// it is not. Of one that an older release did, nobody knows which archive it was.
func (q Restore) doneBefore(now *fsm.View) (*api.RestoreReport, error) {
	id, done := now.Recovery(q.ID)
	switch {
	case !done:
		return nil, nil
	case id != q.recovery() && id != q.ID:
		return nil, api.Refuse(api.Conflict, "the idempotency key was used before for another archive, in restore %s: nothing was changed", id).
			WithHint("use a key of its own for every restore")
	}
	return &api.RestoreReport{Repeated: true, Recovery: id, Index: now.Index(), Before: counts(now), Snapshot: counts(now)}, nil
}

// replace does what Restore says, while nobody decides anything.
func (n *Node) replace(aside *machine, q Restore, report *api.RestoreReport, tail *[]api.AuditRecord) error {
	now := n.machine.View()
	index, term := n.raft.LastIndex(), n.raft.CurrentTerm()
	// One step is one cluster epoch: as many as it takes to be past the one that is left.
	steps := uint64(1)
	if was, is := aside.View().ClusterEpoch(), now.ClusterEpoch(); is > was {
		steps += is - was
	}
	bars, err := barAgain(aside.View(), now.Level(), now.Revocations(q.Actor))
	if err != nil {
		return err
	}
	report.Index = index + steps + uint64(len(bars))
	for step := range steps {
		entry := fsm.Recovered{ID: q.ID, Actor: q.Actor, Node: n.cfg.Node, Index: q.Index, Term: q.Term, Reason: q.Reason}
		if step == 0 {
			entry.Report = report
		} else {
			entry.ID = fmt.Sprintf("%s.%d", q.ID, step)
		}
		index++
		if err := applyAlone(aside, index, term, fsm.Entry{Wall: n.cfg.Clock.Wall().UnixMilli(), Commands: []fsm.Command{entry}}); err != nil {
			return err
		}
	}
	for _, entry := range bars {
		index++
		if err := applyAlone(aside, index, term, fsm.Entry{Wall: n.cfg.Clock.Wall().UnixMilli(), Commands: entry}); err != nil {
			return err
		}
	}
	state := aside.View()
	var size countWriter
	if err := writeState(&size, state, *tail); err != nil { // raft wants to know how much comes
		return err
	}
	r, w := io.Pipe()
	if !n.calls.start(func() { w.CloseWithError(writeState(w, state, *tail)) }) {
		return api.Refuse(api.NoLeader, "this scheduler stops")
	}
	defer r.Close() //nolint:errcheck // it was only read
	n.log.Warn("the state is replaced by a snapshot's", "recovery", q.ID, "snapshot_index", q.Index, "index", index)
	err = n.raft.Restore(&raft.SnapshotMeta{Version: raft.SnapshotVersionMax, Index: index, Term: term, Size: int64(size)}, r, restoreTime)
	if errors.Is(err, raft.ErrNotLeader) {
		return n.notLeading()
	}
	if err != nil {
		return api.Refuse(api.OutcomeUnknown, "the restore was begun, and a quorum has not taken it: %v", err).
			WithHint("repeat it with the same idempotency key")
	}
	return nil
}

type countWriter int64

// Write counts.
func (c *countWriter) Write(p []byte) (int, error) {
	*c += countWriter(len(p))
	return len(p), nil
}

// writeState writes what a snapshot of the state is, with the records that only it has.
func writeState(w io.Writer, v *fsm.View, tail []api.AuditRecord) error {
	if err := writeTail(w, tail); err != nil {
		return err
	}
	z, err := zstd.NewWriter(w, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1))
	if err != nil {
		return fmt.Errorf("open snapshot compressor: %w", err)
	}
	return errors.Join(v.WriteSnapshot(z), z.Close())
}

func counts(v *fsm.View) api.StateCounts {
	c := v.Counts()
	return api.StateCounts{
		Index: v.Index(), ClusterEpoch: v.ClusterEpoch(), Cells: c.Cells, Tenants: c.Tenants, Leases: c.LiveLeases, Runs: c.LiveRuns,
		AuditRecords: v.AuditHead().Sequence,
	}
}

// compareLeases counts the leases that are live now and not in the snapshot, and those that
// are live in the snapshot.
func compareLeases(now, snapshot *fsm.View) (lost, ended int) {
	for _, c := range now.Cells("") {
		for _, l := range now.LeasesOn(c.ID) {
			if old, ok := snapshot.Lease(l.ID); !ok || old.State.Terminal() {
				lost++
			}
		}
	}
	return lost, snapshot.Counts().LiveLeases
}
