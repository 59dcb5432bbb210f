package ui

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"strconv"
	"time"

	"github.com/grafos/grafos/api"
)

// How a watch waits. A terminal is drawn again at least every refresh, so that ages stay
// true; a busy cluster is read at most once a pace.
const (
	watchWait    = 3 * time.Second // and a watch that has lost its cluster says so soon
	watchRefresh = 2 * time.Second
	watchPace    = 100 * time.Millisecond
	// watchRetry is the least time between two reads that were not answered.
	watchRetry = time.Second
)

// Watched is one answer of a watch.
type Watched struct {
	Doc   any
	Index uint64
	// Fresh is what the answer says of its age.
	Fresh api.Freshness
	View  func(*Page)
	// Done ends the watch: nothing more will change.
	Done bool
}

// Show prints what read answers, once; with follow it goes on with every change until ctx
// ends, which is then no failure, and waits for the cluster where nobody leads. A terminal is redrawn in place, a pipe gets the rows
// that changed, a program one document a change.
func (u *UI) Show(ctx context.Context, follow bool, read func(context.Context, api.ReadOptions) (Watched, error)) error {
	o := u.Read()
	now, err := read(ctx, o)
	if follow && err != nil {
		now, err = again(ctx, err, false, func() (Watched, error) { return read(ctx, o) })
	}
	if err != nil {
		return err
	}
	if !follow {
		if err := u.Print(now.Doc, now.View); err != nil {
			return err
		}
		if age := stale(now.Fresh); age != "" {
			u.Note("%s", age)
		}
		return nil
	}
	w := watch{ui: u, rows: map[string]bool{}}
	for {
		if err := w.show(now); err != nil || now.Done {
			return err
		}
		if !Sleep(ctx, watchPace) {
			return nil
		}
		o.AfterIndex, o.Wait = now.Index, w.wait()
		if now, err = read(ctx, o); err != nil {
			now, err = again(ctx, err, true, func() (Watched, error) { return read(ctx, o) })
		}
		if err != nil {
			return unlessEnded(ctx, err)
		}
	}
}

// again repeats a read of a watch that failed with err until it is answered, or fails in a way
// that does not pass by itself. met says that the cluster has answered before: where it has not,
// nobody but a scheduler can say that it is worth waiting for.
func again(ctx context.Context, err error, met bool, read func() (Watched, error)) (Watched, error) {
	for {
		p, ok := api.AsError(err)
		if !ok || !p.Retryable || !met && p.RequestID == "" || !Sleep(ctx, watchRetry) {
			return Watched{}, err
		}
		now, next := read()
		if next == nil {
			return now, nil
		}
		err = next
	}
}

// unlessEnded returns err unless ctx has ended: whatever a read then says is its end.
func unlessEnded(ctx context.Context, err error) error {
	select {
	case <-ctx.Done():
		return nil
	default:
		return err
	}
}

// watch remembers what was shown last.
type watch struct {
	ui   *UI
	last []byte
	rows map[string]bool
}

func (w *watch) redraws() bool { return w.ui.OutTerminal && !w.ui.Output.Machine() }

func (w *watch) wait() time.Duration {
	if w.redraws() {
		return watchRefresh
	}
	return watchWait
}

func (w *watch) show(now Watched) error {
	switch {
	case w.redraws():
		return w.redraw(now)
	case !w.ui.Output.Machine():
		return w.changedRows(now)
	}
	doc, err := fingerprint(now.Doc)
	if err != nil || bytes.Equal(doc, w.last) {
		return err
	}
	w.last = doc
	return w.ui.Emit(now.Doc, now.View)
}

// redraw writes the page over the one before in one go, so that nothing flickers.
func (w *watch) redraw(now Watched) error {
	page := w.ui.page()
	now.View(page)
	page.Gap()
	live := "live"
	if age := stale(now.Fresh); age != "" {
		live = age
	}
	page.Line(Span{live + " · index " + strconv.FormatUint(now.Index, 10) + " · Ctrl-C to stop", Dim})
	_, err := io.WriteString(w.ui.Out, "\x1b[H\x1b[2J"+page.render(w.ui.Color))
	return err
}

// changedRows writes the rows that the answer before did not have.
func (w *watch) changedRows(now Watched) error {
	page := w.ui.page()
	now.View(page)
	text := page.render(false)
	if w.ui.Output.Format == FormatName {
		text = namesText(page.names)
	}
	rows := map[string]bool{}
	var fresh bytes.Buffer
	for _, row := range bytes.SplitAfter([]byte(text), []byte("\n")) {
		if len(row) == 0 {
			continue
		}
		rows[string(row)] = true
		if !w.rows[string(row)] {
			fresh.Write(row)
		}
	}
	w.rows = rows
	_, err := w.ui.Out.Write(fresh.Bytes())
	return err
}

// stale says in words how old a stale answer may be; "" for one that is not.
func stale(f api.Freshness) string {
	if f.LastContactMs == nil {
		return ""
	}
	if *f.LastContactMs < 0 {
		return "stale: the scheduler that answered has heard no leader since it was started"
	}
	return "stale: the scheduler that answered heard its leader " + Duration(time.Duration(*f.LastContactMs)*time.Millisecond) + " ago"
}

// fingerprint is the document without its index and age, which move when nothing else does.
func fingerprint(doc any) ([]byte, error) {
	text, err := json.Marshal(doc)
	if err != nil {
		return nil, api.Refuse(api.Internal, "encode the answer: %v", err)
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal(text, &members); err != nil {
		return nil, api.Refuse(api.Internal, "the answer is no document: %v", err)
	}
	delete(members, "index")
	delete(members, "last_contact_ms")
	return json.Marshal(members)
}

// Sleep waits for d and reports whether ctx still goes on.
func Sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// Ended reports whether err is only the end of ctx: Ctrl-C, or the --timeout.
func Ended(ctx context.Context, err error) bool {
	return ctx.Err() != nil && (errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) ||
		api.KindOf(err) == api.OutcomeUnknown || api.KindOf(err) == api.NoLeader)
}
