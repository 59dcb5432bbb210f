package cli

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/cmd/grafos/internal/ui"
)

// auditVerdict is the document of audit-verify.
type auditVerdict struct {
	Index   uint64        `json:"index,omitempty"`
	OK      bool          `json:"ok"`
	Records uint64        `json:"records"`
	First   uint64        `json:"first,omitempty"` // the first sequence that was checked
	Head    api.AuditHead `json:"head"`            // the last record that was checked
	File    string        `json:"file,omitempty"`
	Problem *api.Error    `json:"problem,omitempty"`
}

// Bounds of verifying.
const (
	// auditLag is how long the records may take to arrive at the scheduler that has their
	// head already.
	auditLag  = 5 * time.Second
	auditPace = 100 * time.Millisecond
)

func (a *app) auditVerify() *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use:   "audit-verify",
		Short: "Check the audit chain, record by record, against its head",
		Long: `Check the whole audit chain: every record is hashed again, chained to the one before it,
and the last one compared with the head that the schedulers agreed on. With --file an
exported chain (audit-query --json) is checked instead, without a cluster; what was cut off
at its end cannot be seen there. Exit 1 names the record, or the line, that breaks the chain; exit 2 is a
file that is not there.`,
		Example: "  grafos admin audit-verify\n  grafos admin audit-verify --file chain.jsonl",
		Args:    exactly(),
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if file != "" {
			return verifyFile(ui.From(cmd.Context()), a.o.Dir, file)
		}
		return a.online(func(ctx context.Context, s *session, _ []string) error {
			verdict, err := s.verifyChain(ctx)
			return verdict.show(s.UI, err)
		})(cmd, args)
	}
	cmd.Flags().StringVar(&file, "file", "", "check this exported `file`, - for standard input")
	return cmd
}

// brokenChainError says that what was checked is not a whole, unaltered chain.
type brokenChainError struct{ problem *api.Error }

func (e *brokenChainError) Error() string { return e.problem.Error() }
func (e *brokenChainError) Unwrap() error { return e.problem }

func broken(err error) error { return &brokenChainError{api.Problem(err)} }

// show prints the verdict. A broken chain is a verdict too, and exits 1; that it could not
// be read is not.
func (v *auditVerdict) show(u *ui.UI, err error) error {
	if err != nil {
		b, isBroken := errors.AsType[*brokenChainError](err)
		if !isBroken {
			return err
		}
		v.Problem = b.problem
		if u.Output.Machine() {
			if err := u.Print(v, nil); err != nil {
				return err
			}
		}
		return &ui.ExitError{Code: ui.ExitFailure, Err: b.problem}
	}
	v.OK = true
	return u.Print(v, func(p *ui.Page) { verdictView(p, *v) })
}

// verifyChain walks the chain of the cluster from its first record to its head.
func (s *session) verifyChain(ctx context.Context) (*auditVerdict, error) {
	verifier := api.NewAuditVerifier(api.AuditHead{})
	verdict := &auditVerdict{}
	deadline := s.Now().Add(auditLag)
	for {
		filter := api.AuditFilter{From: verifier.Head().Sequence + 1, Limit: auditPage}
		page, err := s.AuditRecords(ctx, filter, s.Read())
		if err != nil {
			return verdict, err
		}
		verdict.Index = page.Index
		if err := verdict.check(verifier, page.Records); err != nil {
			return verdict, err
		}
		at := verifier.Head()
		switch {
		case at.Sequence == page.Head.Sequence:
			return verdict, sameHead(at, page.Head)
		case len(page.Records) > 0:
			s.Progress(ui.Span{Text: fmt.Sprintf("%d of %d records", at.Sequence, page.Head.Sequence), Style: ui.Dim})
			deadline = s.Now().Add(auditLag)
		case at.Sequence > page.Head.Sequence:
			return verdict, broken(api.Refuse(api.Conflict, "audit record %d is beyond the head, which is record %d", at.Sequence, page.Head.Sequence))
		case s.Now().After(deadline):
			return verdict, broken(api.Refuse(api.Conflict, "the chain ends at record %d, its head is record %d: record %d is missing",
				at.Sequence, page.Head.Sequence, at.Sequence+1))
		}
		if len(page.Records) == 0 && !ui.Sleep(ctx, auditPace) {
			return verdict, ctx.Err()
		}
	}
}

func sameHead(at, head api.AuditHead) error {
	if at.Sequence > 0 && at.Hash != head.Hash {
		return broken(api.Refuse(api.Conflict, "audit record %d has the hash %s, the head says %s", at.Sequence, at.Hash, head.Hash))
	}
	return nil
}

func (v *auditVerdict) check(verifier *api.AuditVerifier, records []api.AuditRecord) error {
	for _, r := range records {
		if err := verifier.Next(r); err != nil {
			return broken(err)
		}
		if v.Records == 0 {
			v.First = r.Sequence
		}
		v.Records++
		v.Head = verifier.Head()
	}
	return nil
}
