package node

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/grafos/grafos/cluster/store/disk"
	"github.com/grafos/grafos/cmd/grafos/internal/ui"
)

func (r *recoverReport) view(p *ui.Page) {
	p.Name(string(r.Node))
	held := ui.Table{Header: []string{"DATA OF", "DIRECTORY", "FIRST", "LAST", "LAST TERM", "TERM", "SNAPSHOT"}}
	for _, s := range r.Survivors {
		held.Row(ui.ID(s.Node), ui.ID(s.Dir), count(s.FirstIndex), count(s.LastIndex), count(s.LastTerm), count(s.Term), count(s.SnapshotIndex))
	}
	p.Table(held)
	asked := ui.Table{Header: []string{"MEMBER", "ADDRESS", "VOTE", "ANSWERS"}}
	for _, m := range r.Asked {
		asked.Row(ui.ID(m.Node), ui.ID(m.Address), yes(m.Voter), yes(m.Answers))
	}
	if len(r.Asked) > 0 {
		p.Line()
		p.Table(asked)
	}
	p.Line()
	style := map[string]ui.Style{verdictStart: ui.Warn, verdictLess: ui.Warn, verdictRecovered: ui.Good}[r.Verdict]
	said(p, style, r.Detail)
	if r.Backup != "" {
		said(p, ui.Dim, "the data as it was: "+r.Backup)
	}
}

// said adds a line that pipes get too.
func said(p *ui.Page, style ui.Style, text string) {
	if p.Terminal {
		p.Line(ui.Span{Text: text, Style: style})
		return
	}
	p.Text(text)
}

// judge says what follows from what was found, or done. mine is the survivor that it is about.
func (r *recoverReport) judge(mine survivor) {
	switch best := r.best(); {
	case !r.DryRun:
		r.Verdict = verdictRecovered
		r.Detail = fmt.Sprintf("recovered: scheduler %s at %s is the only member, at index %d, cluster epoch %d, with %s",
			r.Node, r.Address, r.Index, r.Epoch, ui.Count(r.Leases, "live lease"))
	case r.Present >= r.Quorum:
		r.Verdict = verdictStart
		r.Detail = fmt.Sprintf("dry run: %s would be there, this one among them, and %d are a quorum: nothing is lost, start this scheduler instead",
			ui.Count(r.Present, "voter"), r.Quorum)
	case best.Dir != mine.Dir:
		r.Verdict = verdictLess
		r.Detail = fmt.Sprintf("dry run: recover from %s instead, which has more: it ends with entry %d of term %d, this one with entry %d of term %d",
			best.Dir, best.LastIndex, best.LastTerm, mine.LastIndex, mine.LastTerm)
	default:
		r.Verdict = verdictMay
		r.Detail = fmt.Sprintf("dry run: %s would be there, this one among them, and %d are a quorum: it can be recovered from this directory; nothing was changed",
			ui.Count(r.Present, "voter"), r.Quorum)
	}
}

func count(n uint64) ui.Cell { return ui.ID(strconv.FormatUint(n, 10)) }

func yes(is bool) ui.Cell {
	if is {
		return ui.V("yes", "true")
	}
	return ui.V("no", "false")
}

// copyAside copies a directory to a name of its own beside it, durably, and returns that name.
func copyAside(dir string) (string, error) {
	to := dir + ".before-recovery-" + time.Now().UTC().Format("20060102T150405Z")
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		target := filepath.Join(to, rel)
		if d.IsDir() {
			return os.Mkdir(target, 0o700)
		}
		return copyFile(target, path)
	})
	if err != nil {
		return "", err
	}
	return to, disk.SyncDir(filepath.Dir(dir))
}

func copyFile(to, from string) (err error) {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close() //nolint:errcheck // it was only read
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() {
		if cerr := out.Close(); err == nil {
			err = cerr
		}
	}()
	if _, err := io.Copy(out, in); err != nil {
		return err
	}
	return out.Sync()
}
