package node

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/spf13/cobra"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/capbroker/pki"
	"github.com/grafos/grafos/cluster"
	"github.com/grafos/grafos/cluster/store"
	"github.com/grafos/grafos/cluster/store/disk"
	"github.com/grafos/grafos/cluster/wire"
	"github.com/grafos/grafos/cmd/grafos/internal/ui"
	"github.com/grafos/grafos/fsm"
)

// Operator is the commands of grafos operator that need a data directory, not a cluster.
func Operator() []*cobra.Command { return []*cobra.Command{recoverCommand()} }

// survivor is what one data directory holds.
type survivor struct {
	Dir  string     `json:"dir"`
	Node api.NodeID `json:"node_id"`
	cluster.Kept
}

// askedMember is a member of the lost group, and whether it is there.
type askedMember struct {
	Node    api.NodeID `json:"node_id"`
	Address string     `json:"address"`
	Voter   bool       `json:"voter"`
	Answers bool       `json:"answers"`
}

// recoverReport is what operator recover found, and did.
type recoverReport struct {
	ClusterID string        `json:"cluster_id"`
	DryRun    bool          `json:"dry_run"`
	Survivors []survivor    `json:"survivors"`
	Asked     []askedMember `json:"asked"`
	Quorum    int           `json:"quorum"` // of the lost group
	// Present counts the voters that are there, or would be: this one among them.
	Present int `json:"voters_present"`
	// Verdict is what follows from it, one of the verdicts below, Detail the same for people.
	Verdict string `json:"verdict"`
	Detail  string `json:"detail"`
	// The rest is of the new group; empty in a dry run.
	Recovery string     `json:"recovery_id,omitempty"`
	Node     api.NodeID `json:"node_id,omitempty"`
	Address  string     `json:"address,omitempty"`
	Index    uint64     `json:"index,omitempty"`
	Epoch    uint64     `json:"cluster_epoch,omitempty"`
	Leases   int        `json:"live_leases"`
	Backup   string     `json:"backup,omitempty"`
}

// The verdicts of operator recover.
const (
	verdictStart     = "start_instead"  // a quorum can be had: nothing is lost
	verdictLess      = "other_has_more" // another directory of --compare has more
	verdictMay       = "may_be_recovered"
	verdictRecovered = "recovered"
)

type recoverOptions struct {
	dir, material, reason string
	others, revoked       []string
	dryRun, yes           bool
	known                 []fsm.BarCell // the revocations that the new group begins with
	askTime               time.Duration
}

const recoverLong = `Make a cluster again that has lost its quorum for good, from what one scheduler
has. It runs on that scheduler's host, while the scheduler is stopped:

  1. It shows what the data directory holds, and those given with --compare: the log's
     first and last index and term. The one with the highest last term, then the highest
     last index, has the most; another one is refused.
  2. It asks every other member, and refuses while a quorum could be had without it.
  3. It keeps a copy of the directory beside it, gives this scheduler a new id, makes it
     the only member, takes all that its log holds for committed, and begins a new cluster
     epoch: fencing numbers jump ahead, and no scheduler of the old group can come back
     with its data.

Then start the scheduler as before. The others join it by themselves: with empty data
directories, or, with --on-damage rejoin, with the old ones, which they set aside. What only
the lost schedulers had acknowledged is lost, but for revocations of cells that are in a
revoked.json given with --revoked.`

func recoverCommand() *cobra.Command {
	var o recoverOptions
	cmd := &cobra.Command{
		Use:   "recover",
		Short: "Make a cluster again that lost its quorum, from one scheduler's data",
		Long:  recoverLong,
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			u := ui.From(cmd.Context())
			report, err := o.run(cmd.Context(), u)
			if report == nil || err != nil && !o.dryRun {
				return unusable(err)
			}
			return errors.Join(u.Print(report, func(p *ui.Page) { report.view(p) }), unusable(err))
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.dir, "data-dir", "", "data directory of the stopped scheduler (required)")
	f.StringVar(&o.material, "material", "", "folder of the cluster's material (required)")
	f.StringSliceVar(&o.others, "compare", nil, "data directories of other schedulers, or copies of them, to compare with")
	f.StringSliceVar(&o.revoked, "revoked", nil, "revoked.json of other schedulers: cells that were revoked stay so, also where this one has not heard of it")
	f.StringVar(&o.reason, "reason", "", "why, for the audit chain")
	f.BoolVar(&o.dryRun, "dry-run", false, "look and ask, but change nothing; it exits as the real one would")
	f.BoolVarP(&o.yes, "yes", "y", false, "do not ask")
	f.DurationVar(&o.askTime, "ask-time", 2*time.Second, "how long to wait for each other scheduler's answer")
	return cmd
}

// unusable says what is wrong with a directory that cannot be recovered from.
func unusable(err error) error {
	if _, known := api.AsError(err); known {
		return err
	}
	if _, damaged := errors.AsType[*disk.CorruptError](err); damaged {
		return api.Refuse(api.DigestMismatch, "%v", err).
			WithHint("recover from the data of another scheduler, or from an older copy of this one: --data-dir DIR")
	}
	return ui.FileError(err)
}

func (o *recoverOptions) run(ctx context.Context, u *ui.UI) (*recoverReport, error) {
	for what, value := range map[string]string{"data-dir": o.dir, "material": o.material} {
		if value == "" {
			return nil, api.Refuse(api.InvalidArgument, "--%s is not given", what).WithHint("grafos operator recover --help")
		}
	}
	if err := u.CanConfirm(o.yes || o.dryRun); err != nil {
		return nil, err
	}
	material, err := pki.LoadMaterial(o.material)
	if err != nil {
		return nil, err
	}
	if o.dir, err = filepath.Abs(o.dir); err != nil {
		return nil, err
	}
	owner, err := ownerOf(o.dir, material.ClusterID)
	if err != nil {
		return nil, err
	}
	release, err := holdDir(o.dir)
	if err != nil {
		return nil, err
	}
	report, err := o.recover(ctx, u, material, owner)
	return report, errors.Join(err, release())
}

// ownerOf says whose a data directory is, and refuses another cluster's.
func ownerOf(dir, clusterID string) (cluster.Owner, error) {
	owner, err := cluster.ReadOwner(dir)
	if err != nil {
		return owner, api.Refuse(api.NotFound, "%s is no scheduler's data directory: %v", dir, err)
	}
	if owner.ClusterID != clusterID {
		return owner, api.Refuse(api.Conflict, "data directory %s belongs to cluster %s, the material to %s", dir, owner.ClusterID, clusterID)
	}
	return owner, nil
}

func (o *recoverOptions) recover(ctx context.Context, u *ui.UI, material *pki.Material, owner cluster.Owner) (*recoverReport, error) {
	report := &recoverReport{ClusterID: material.ClusterID, DryRun: o.dryRun, Asked: []askedMember{}}
	mine, err := inspect(o.dir, owner)
	if err != nil {
		return nil, err
	}
	report.Survivors = []survivor{mine}
	// Before anything is changed, or said to be possible: a revoked cell must not come back.
	if o.known, err = knownRevocations(append([]string{o.dir}, o.others...), o.revoked); err != nil {
		return nil, err
	}
	if err := o.compare(report); err != nil {
		return nil, err
	}
	if err := o.ask(ctx, report, material, mine); err != nil {
		return nil, err
	}
	member, err := report.allowed(mine)
	if o.dryRun {
		report.judge(mine)
		return report, err
	}
	if err != nil {
		return nil, err
	}
	question := fmt.Sprintf("Make cluster %s again from %s, which ends with entry %d of term %d? What only the lost schedulers had is lost.",
		material.ClusterID, o.dir, mine.LastIndex, mine.LastTerm)
	if err := u.Confirm(ctx, o.yes, question, material.ClusterID); err != nil {
		return nil, err
	}
	if err := o.make(report, mine, member.RaftAddr); err != nil {
		return report, err
	}
	report.judge(mine)
	return report, nil
}

// inspect opens what a directory keeps, which verifies all of it, and closes it again.
func inspect(dir string, owner cluster.Owner) (survivor, error) {
	s := survivor{Dir: dir, Node: owner.Node}
	if _, err := os.Stat(raftDir(dir)); err != nil {
		return s, api.Refuse(api.NotFound, "there is no Raft data in %s: %v", dir, err)
	}
	kept, err := openKept(dir)
	if err != nil {
		return s, err
	}
	s.Kept, err = cluster.Inspect(kept)
	return s, errors.Join(err, kept.Close())
}

// openKept opens what a stopped scheduler keeps, whatever it was begun with.
func openKept(dir string) (*cluster.Storage, error) {
	kind, err := store.KindOf(raftDir(dir))
	if err != nil {
		return nil, err
	}
	return openStorage(dir, kind, cluster.Disk{}, hclog.NewNullLogger())
}

// compare looks into the other directories.
func (o *recoverOptions) compare(report *recoverReport) error {
	for _, dir := range o.others {
		owner, err := ownerOf(dir, report.ClusterID)
		if err != nil {
			return err
		}
		other, err := inspect(dir, owner)
		if err != nil {
			return fmt.Errorf("look into %s: %w", dir, err)
		}
		report.Survivors = append(report.Survivors, other)
	}
	return nil
}

// allowed refuses to recover from mine while a quorum could be had, from one that has less, or
// from no member, and returns the member that mine is of. A dry run is refused in the same way.
func (r *recoverReport) allowed(mine survivor) (api.Peer, error) {
	if r.Present >= r.Quorum {
		return api.Peer{}, api.Refuse(api.Conflict, "%d of %d voters are there, this one among them, and %d are a quorum: nothing is lost",
			r.Present, mine.voters(), r.Quorum).
			WithHint("start this scheduler as before; who answers: grafos operator recover --dry-run")
	}
	if best := r.best(); best.Dir != mine.Dir {
		return api.Peer{}, api.Refuse(api.Conflict, "%s has more: it ends with entry %d of term %d, %s with entry %d of term %d",
			best.Dir, best.LastIndex, best.LastTerm, mine.Dir, mine.LastIndex, mine.LastTerm).
			WithHint("recover with --data-dir %s", best.Dir)
	}
	for _, same := range []func(api.NodeID) bool{
		func(id api.NodeID) bool { return id == mine.Node },
		// A recovery that was interrupted: the id was changed, the group was not.
		func(id api.NodeID) bool { return api.SchedulerName(id) == api.SchedulerName(mine.Node) },
	} {
		if i := slices.IndexFunc(mine.Members, func(m api.Peer) bool { return same(m.Node) }); i >= 0 {
			return mine.Members[i], nil
		}
	}
	return api.Peer{}, api.Refuse(api.Conflict, "scheduler %s is no member of the group that its data names", mine.Node).
		WithHint("recover from the data of a member")
}

func (s survivor) voters() int {
	n := 0
	for _, m := range s.Members {
		if m.Voter {
			n++
		}
	}
	return n
}

// best is the survivor that has the most; of equal ones the first.
func (r *recoverReport) best() survivor {
	best := r.Survivors[0]
	for _, s := range r.Survivors[1:] {
		if s.Newer(best.Kept) {
			best = s
		}
	}
	return best
}

// ask asks the other members who of them is there.
func (o *recoverOptions) ask(ctx context.Context, report *recoverReport, material *pki.Material, mine survivor) error {
	cert, err := schedulerCertificate(material, "recover", nil, nil)
	if err != nil {
		return err
	}
	identity := pki.ClientTLS(pki.ClientOptions{Cert: cert, Roots: material.Pool(), ClusterID: material.ClusterID, Server: api.RoleScheduler})
	there := 0
	for _, m := range mine.Members {
		if m.Node == mine.Node {
			if m.Voter {
				there++ // it would be, if it were started
			}
			continue
		}
		ctx, cancel := context.WithTimeout(ctx, o.askTime)
		answers := wire.Answers(ctx, identity, m.Node, m.RaftAddr)
		cancel()
		report.Asked = append(report.Asked, askedMember{Node: m.Node, Address: m.RaftAddr, Voter: m.Voter, Answers: answers})
		if answers && m.Voter {
			there++
		}
	}
	report.Quorum, report.Present = mine.voters()/2+1, there
	return nil
}

// make makes the new group.
func (o *recoverOptions) make(report *recoverReport, mine survivor, addr string) error {
	backup, err := copyAside(raftDir(o.dir))
	if err != nil {
		return fmt.Errorf("keep a copy of the data: %w", err)
	}
	report.Backup = backup
	// The id comes first: under the old one the group that is made does not begin.
	_, id, err := cluster.Rename(o.dir)
	if err != nil {
		return fmt.Errorf("give this scheduler a new id: %w", err)
	}
	report.Recovery, report.Node, report.Address = "rec-"+strings.ToLower(rand.Text()[:12]), id, addr
	v, err := o.rewrite(fsm.Recovered{ID: report.Recovery, Actor: "operator/recover", Node: mine.Node, Reason: o.reason}, id, report.Address)
	if err != nil {
		return fmt.Errorf("recover (the data as it was is in %s): %w", backup, err)
	}
	report.Index, report.Epoch, report.Leases = v.Index(), v.ClusterEpoch(), v.Counts().LiveLeases
	return nil
}

// rewrite writes the new group into the directory, and the recovery into the audit chain.
func (o *recoverOptions) rewrite(entry fsm.Recovered, id api.NodeID, addr string) (*fsm.View, error) {
	log := hclog.NewNullLogger()
	audit, err := store.OpenAudit(auditDir(o.dir), log)
	if err != nil {
		return nil, fmt.Errorf("open audit chain: %w", err)
	}
	kept, err := openKept(o.dir)
	if err != nil {
		return nil, errors.Join(err, audit.Close())
	}
	v, err := cluster.Recover(kept, cluster.Recovery{
		Revoked: o.known,
		Machine: fsm.New(fsm.Options{Log: log, Audit: audit.Append, BeforePersist: audit.Sync}),
		Node:    id, Addr: addr, Wall: time.Now().UnixMilli(), Entry: entry,
	})
	if err == nil {
		err = audit.Settle(v.ClusterEpoch())
	}
	return v, errors.Join(err, kept.Close(), audit.Close())
}
