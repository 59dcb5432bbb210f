package node

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/spf13/cobra"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/api/client"
	"github.com/grafos/grafos/cluster"
	"github.com/grafos/grafos/cluster/store/disk"
	"github.com/grafos/grafos/cluster/store/snap"
	"github.com/grafos/grafos/cmd/grafos/internal/ui"
	"github.com/grafos/grafos/fsm"
)

// Snapshot is the commands of grafos operator snapshot.
func Snapshot() []*cobra.Command {
	return []*cobra.Command{snapshotSave(), snapshotInspect(), snapshotVerify(), snapshotRestore()}
}

// archiveReport says what an archive is, and, where it was read, what is in it.
type archiveReport struct {
	File   string `json:"file"`
	Bytes  int64  `json:"bytes"`
	Format int    `json:"format"`
	ID     string `json:"id"`
	Index  uint64 `json:"index"`
	Term   uint64 `json:"term"`
	SHA256 string `json:"sha256"` // of the payload

	ClusterID string           `json:"cluster_id,omitempty"`
	State     *api.StateCounts `json:"state,omitempty"`
	Members   []snap.Server    `json:"members"`
}

func reportOf(file string, i snap.Info) archiveReport {
	return archiveReport{File: file, Bytes: i.Size, Format: i.Format, ID: i.ID, Index: i.Index, Term: i.Term, SHA256: i.SHA256, Members: i.Configuration}
}

func (a *archiveReport) add(v *fsm.View) {
	c := v.Counts()
	a.ClusterID = v.ClusterID()
	a.State = &api.StateCounts{
		Index: v.Index(), ClusterEpoch: v.ClusterEpoch(), Cells: c.Cells, Tenants: c.Tenants, Leases: c.LiveLeases, Runs: c.LiveRuns,
		AuditRecords: v.AuditHead().Sequence,
	}
}

func (a *archiveReport) view(p *ui.Page) {
	p.Name(a.File)
	f := []ui.Field{
		ui.F("file", ui.T(a.File)), ui.F("snapshot", ui.T(a.ID)), ui.F("index", count(a.Index)), ui.F("term", count(a.Term)),
		ui.F("bytes", count(uint64(a.Bytes))), ui.F("sha256", ui.T(a.SHA256)),
	}
	if a.State != nil {
		f = append(f, ui.F("cluster", ui.T(a.ClusterID)), ui.F("cluster epoch", count(a.State.ClusterEpoch)), ui.F("cells", count(uint64(a.State.Cells))),
			ui.F("tenants", count(uint64(a.State.Tenants))), ui.F("live leases", count(uint64(a.State.Leases))),
			ui.F("live runs", count(uint64(a.State.Runs))), ui.F("audit records", count(a.State.AuditRecords)))
	}
	p.Fields(f...)
}

// remote calls do with a client of the cluster that the connection names.
func remote(cmd *cobra.Command, do func(context.Context, *ui.UI, *client.Client) error) (err error) {
	u := ui.From(cmd.Context())
	ctx, cancel := u.Bound(cmd.Context())
	defer cancel()
	conn, err := u.Connect()
	if err != nil {
		return err
	}
	conf, err := conn.TLS(api.RoleScheduler)
	if err != nil {
		return err
	}
	c, err := client.New(client.Config{URLs: conn.URLs, TLS: conf, Token: conn.Token, Timeout: conn.Timeout, Log: hclog.NewNullLogger()})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	return do(ctx, u, c)
}

func oneFile(cmd *cobra.Command, args []string) error {
	if len(args) != 1 {
		return api.Refuse(api.InvalidArgument, "%s takes FILE: %d given", cmd.CommandPath(), len(args))
	}
	if args[0] == "" {
		return api.Refuse(api.InvalidArgument, "%s: FILE is empty", cmd.CommandPath())
	}
	return nil
}

func snapshotSave() *cobra.Command {
	var stale bool
	cmd := &cobra.Command{
		Use:   "save FILE",
		Short: "Save the whole state to a file",
		Long: `Save the whole state to a file: the leader's, with everything that was acknowledged
before. The file appears under its name when it is whole, verified and on the disk.`,
		Args: oneFile,
		RunE: func(cmd *cobra.Command, args []string) error {
			return remote(cmd, func(ctx context.Context, u *ui.UI, c *client.Client) error {
				body, err := c.SaveSnapshot(ctx, stale)
				if err != nil {
					return err
				}
				info, err := writeArchive(args[0], body)
				if err = errors.Join(err, body.Close()); err != nil {
					return err
				}
				report := reportOf(args[0], info)
				return u.Print(report, report.view)
			})
		},
	}
	cmd.Flags().BoolVar(&stale, "stale", false, "take the state of the scheduler that answers, whoever leads")
	return cmd
}

func snapshotInspect() *cobra.Command {
	return &cobra.Command{
		Use:   "inspect FILE",
		Short: "Say what a saved state is, and what is in it",
		Args:  oneFile,
		RunE: func(cmd *cobra.Command, args []string) error {
			report, _, err := readArchive(args[0])
			if err != nil {
				return err
			}
			return ui.From(cmd.Context()).Print(report, report.view)
		},
	}
}

func snapshotVerify() *cobra.Command {
	return &cobra.Command{
		Use:   "verify FILE",
		Short: "Read a saved state to its end and check every promise in it",
		Long: `Read a saved state to its end: its size, its checksum, every record, and every
invariant of the state. It exits 2 where the file is not as it was saved, and 1 where it is,
and an invariant does not hold.`,
		Args: oneFile,
		RunE: func(cmd *cobra.Command, args []string) error {
			report, v, err := readArchive(args[0])
			if err != nil {
				return err
			}
			if broken := fsm.Check(v); len(broken) > 0 {
				return fmt.Errorf("%s: %w", args[0], errors.Join(broken...))
			}
			return ui.From(cmd.Context()).Print(report, func(p *ui.Page) {
				report.view(p)
				p.Gap()
				p.Line(ui.Span{Text: "✓ ", Style: ui.Good}, ui.Span{Text: "whole, and every invariant holds"})
			})
		},
	}
}

// readArchive reads an archive to its end.
func readArchive(path string) (*archiveReport, *fsm.View, error) {
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil, api.Refuse(api.NotFound, "there is no file %s", path)
	}
	if err != nil {
		return nil, nil, ui.FileError(err)
	}
	defer f.Close() //nolint:errcheck // it was only read
	info, state, err := snap.ReadArchive(f, path)
	if err != nil {
		return nil, nil, badArchive(path, err)
	}
	v, err := cluster.ReadState(state)
	if err == nil {
		_, err = io.Copy(io.Discard, state)
	}
	if err != nil {
		return nil, nil, badArchive(path, err)
	}
	report := reportOf(path, info)
	report.add(v)
	return &report, v, nil
}

// badArchive says that a file is not a state as it was saved.
func badArchive(path string, err error) error {
	if damage, is := errors.AsType[*disk.CorruptError](err); is {
		return api.Refuse(api.DigestMismatch, "%v", damage).
			WithHint("take an older file, or another copy of this one: every one proves itself (grafos operator snapshot verify FILE)")
	}
	return ui.FileError(fmt.Errorf("%s: %w", path, err)) // such as a directory
}

func snapshotRestore() *cobra.Command {
	var o api.WriteOptions
	var key ui.Key
	var yes bool
	cmd := &cobra.Command{
		Use:   "restore FILE",
		Short: "Replace the state of the whole cluster by a saved one",
		Long: `Replace the state of the running cluster, on all its schedulers, by a saved one. What
was granted since the file was saved is forgotten, and its cells stop it; the leases in
the file are ended; every session, token and fencing number of before is void. No
resource is given again before its cell confirmed, or must have stopped.`,
		Args: oneFile,
		RunE: func(cmd *cobra.Command, args []string) error {
			if o.IdempotencyKey = string(key); key == "" {
				o.IdempotencyKey = "cli-" + rand.Text()
			}
			if err := ui.From(cmd.Context()).CanConfirm(yes || o.DryRun); err != nil {
				return err
			}
			if _, _, err := readArchive(args[0]); err != nil { // before anything is asked or sent
				return err
			}
			return remote(cmd, func(ctx context.Context, u *ui.UI, c *client.Client) error {
				return restoreFile(ctx, u, c, args[0], o, yes)
			})
		},
	}
	f := cmd.Flags()
	f.BoolVar(&o.DryRun, "dry-run", false, "say what would change, but change nothing")
	f.StringVar(&o.Reason, "reason", "", "why, for the audit chain")
	key.AddFlag(f)
	f.BoolVarP(&yes, "yes", "y", false, "do not ask")
	return cmd
}

func restoreFile(ctx context.Context, u *ui.UI, c *client.Client, path string, o api.WriteOptions, yes bool) error {
	f, err := os.Open(path)
	if err != nil {
		return ui.FileError(err)
	}
	defer f.Close() //nolint:errcheck // it was only read
	st, err := f.Stat()
	if err != nil {
		return err
	}
	dry := o
	dry.DryRun = true
	before, err := c.RestoreSnapshot(ctx, st.Size(), f, dry)
	if err != nil {
		return err
	}
	if o.DryRun {
		return u.Print(before, func(p *ui.Page) { restoreView(p, before) })
	}
	question := fmt.Sprintf("Replace the state at index %d by the one of index %d? %s granted since then %s forgotten, and %s in the file ended.",
		before.Before.Index, before.Snapshot.Index, ui.Count(before.LeasesLost, "lease"), isAre(before.LeasesLost), ui.Count(before.LeasesEnded, "lease"))
	if err := u.Confirm(ctx, yes, question, "restore"); err != nil {
		return err
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	done, err := c.RestoreSnapshot(ctx, st.Size(), f, o)
	if api.KindOf(err) == api.OutcomeUnknown {
		return api.Problem(err).WithHint("repeat it with --idempotency-key %s: it is done once, however often it is asked", o.IdempotencyKey)
	}
	if err != nil {
		return err
	}
	return u.Print(done, func(p *ui.Page) { restoreView(p, done) })
}

func isAre(n int) string {
	if n == 1 {
		return "is"
	}
	return "are"
}

func restoreView(p *ui.Page, r *api.RestoreReport) {
	p.Name(r.Recovery)
	t := ui.Table{Header: []string{"STATE", "INDEX", "EPOCH", "CELLS", "TENANTS", "LIVE LEASES", "LIVE RUNS", "AUDIT RECORDS"}}
	for _, row := range []struct {
		name string
		s    api.StateCounts
	}{{"before", r.Before}, {"snapshot", r.Snapshot}} {
		t.Row(ui.ID(row.name), count(row.s.Index), count(row.s.ClusterEpoch), count(uint64(row.s.Cells)), count(uint64(row.s.Tenants)),
			count(uint64(row.s.Leases)), count(uint64(row.s.Runs)), count(row.s.AuditRecords))
	}
	p.Table(t)
	p.Gap()
	text := fmt.Sprintf("%s forgotten, %s ended", ui.Count(r.LeasesLost, "lease"), ui.Count(r.LeasesEnded, "lease"))
	if r.DryRun {
		p.Line(ui.Span{Text: "dry run: nothing was changed; " + text, Style: ui.Warn})
		return
	}
	if r.Repeated {
		text += " (it was done before, under the same idempotency key)"
	}
	p.Line(ui.Span{Text: fmt.Sprintf("restored, at index %d: %s", r.Index, text), Style: ui.Good})
}

// snapshotSettings say when a leader saves the state by itself.
type snapshotSettings struct {
	Every duration `toml:"snapshot_every"`
	Keep  int      `toml:"snapshot_keep"`
	Dir   string   `toml:"snapshot_dir"`
}

func (s *snapshotSettings) check() error {
	switch {
	case s.Every == 0:
		return nil
	case s.Every < duration(time.Second):
		return api.Refuse(api.InvalidArgument, "snapshot-every is %s: it must be 1 s or more, or 0 for never", &s.Every)
	case s.Dir == "":
		return api.Refuse(api.InvalidArgument, "snapshot-every is %s, and snapshot-dir is not given", &s.Every)
	case s.Keep < 1:
		return api.Refuse(api.InvalidArgument, "snapshot-keep is %d: it must be 1 or more", s.Keep)
	}
	return nil
}
