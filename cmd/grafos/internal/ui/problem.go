package ui

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"syscall"
	"time"

	"github.com/grafos/grafos/api"
)

// maxShownCandidates bounds the vetoed cells that a person is shown with a refusal.
const maxShownCandidates = 12

// WriteProblem writes err for the reader of the format: a program gets exactly one
// problem document on one line, a person the sentence, its evidence and what to do next.
func WriteProblem(w io.Writer, color, machine bool, err error) {
	if e, ok := errors.AsType[*ExitError](err); ok && e.Err == nil {
		return
	}
	p := localHint(api.Problem(err), err)
	if machine {
		writeProblemDocument(w, p)
		return
	}
	page := Page{Terminal: true, Width: defaultWidth}
	problemView(p, sentence(err, p), &page)
	// Nothing is left to tell a failure of standard error to.
	_, _ = io.WriteString(w, page.render(color))
}

// localHint adds what to do about a failure of this machine, which is no refusal of a cluster's.
func localHint(p *api.Error, err error) *api.Error {
	if p.Hint != "" {
		return p
	}
	for _, c := range []struct {
		cause error
		hint  string
	}{
		{syscall.ENOSPC, "free space on that disk, or name a file on another one"},
		{syscall.EDQUOT, "free space within the quota of that disk, or name a file on another one"},
		{syscall.EROFS, "that disk is read only: name a file on another one"},
		{fs.ErrPermission, "see who may read and write there: ls -ld on the file and its directory"},
		{fs.ErrNotExist, "see whether the file and its directory exist"},
	} {
		if errors.Is(err, c.cause) {
			hinted := *p
			return hinted.WithHint("%s", c.hint)
		}
	}
	return p
}

func writeProblemDocument(w io.Writer, p *api.Error) {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	// As above.
	_ = enc.Encode(p)
}

// sentence is the detail with what was being done when it happened: the words that were
// wrapped round the problem stay, its kind goes to the end of the line.
func sentence(err error, p *api.Error) string {
	text := strings.Replace(err.Error(), p.Error(), p.Detail, 1)
	if text == "" {
		return p.Title
	}
	return text
}

// Usage returns err as a refusal of what was typed: invalid_argument, exit 2. A problem
// within it keeps its hint, and loses its kind in brackets.
func Usage(err error) *api.Error {
	text := err.Error()
	inner, ok := api.AsError(err)
	if ok {
		text = sentence(err, inner)
	}
	problem := api.Refuse(api.InvalidArgument, "%s", text)
	if ok {
		problem.Hint = inner.Hint
	}
	return problem
}

func problemView(p *api.Error, text string, page *Page) {
	page.Line(Span{"Error: ", Bad}, Span{text, Plain}, Span{"  (" + kindText(p) + ")", Dim})
	if s := p.Shortage; s != nil {
		page.Line(Span{"  " + shortage(s), Plain})
	}
	for _, f := range p.Errors {
		page.Line(Span{"  " + f.Location + ": " + f.Message, Plain})
	}
	if p.Kind != api.QuotaExceeded { // no cell has to do with it: the document has them, a person need not read them
		vetoesView(p.Candidates, page)
	}
	if p.Hint != "" {
		page.Line(Span{"Hint: ", Bold}, Span{p.Hint, Plain})
	}
	if p.RetryAfterMs > 0 {
		page.Line(Span{"It may work again in " + Duration(time.Duration(p.RetryAfterMs)*time.Millisecond) + ".", Dim})
	}
	if p.RequestID != "" {
		page.Line(Span{"request " + p.RequestID, Dim})
	}
}

func kindText(p *api.Error) string {
	if p.Reason != "" {
		return string(p.Kind) + ": " + p.Reason
	}
	return string(p.Kind)
}

func shortage(s *api.Shortage) string {
	k := api.LeaseKind(s.Resource)
	return fmt.Sprintf("%s: asked %s, in use %s of %s", s.Resource, Amount(k, s.Asked), Amount(k, s.InUse), Amount(k, s.Limit))
}

// vetoesView lists every veto of the candidates: each reason has its own line, the cell
// is named once.
func vetoesView(candidates []api.Candidate, page *Page) {
	t := Table{Indent: 2}
	shown := 0
	for _, c := range candidates {
		if len(c.Vetoes) == 0 {
			continue
		}
		if shown++; shown > maxShownCandidates {
			continue
		}
		cell := ID(c.CellID)
		for _, v := range c.Vetoes {
			t.Row(cell, Cell{Text: v.Code, Whole: true, Style: Warn}, Cell{Text: v.Message, Whole: true})
			cell = T("")
		}
	}
	page.Table(t)
	if shown > maxShownCandidates {
		page.Line(Span{fmt.Sprintf("  and %d more cells", shown-maxShownCandidates), Dim})
	}
}
