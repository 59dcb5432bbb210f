package ui

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/grafos/grafos/api"
)

// UI is what a command sees of the person or program in front of it: the streams and the
// global flags.
type UI struct {
	IO
	Output Output
	// NoInput forbids every question.
	NoInput bool
	// Timeout bounds the whole command; 0 is no bound.
	Timeout time.Duration
	// Consistency is that of every read; "" is linearizable.
	Consistency api.Consistency
	// MaxStale is how old a stale read may be; 0 is no bound.
	MaxStale time.Duration
	// Connect resolves where the cluster is and who asks, from flags, environment, context
	// file and dev cluster.
	Connect func() (Connection, error)
}

type uiKey struct{}

// With returns ctx carrying u; the root command calls it before any command runs.
func With(ctx context.Context, u *UI) context.Context { return context.WithValue(ctx, uiKey{}, u) }

// From returns the UI of a running command: ui.From(cmd.Context()). Outside of one it is
// a UI that shows nothing and asks nobody.
func From(ctx context.Context) *UI {
	if u, ok := ctx.Value(uiKey{}).(*UI); ok {
		return u
	}
	return &UI{
		IO:      IO{Out: io.Discard, Err: io.Discard, Now: time.Now},
		Output:  Output{Format: FormatTable},
		NoInput: true,
		Connect: func() (Connection, error) {
			return Connection{}, api.Refuse(api.Internal, "no command is running")
		},
	}
}

// Prepared reports whether ctx carries the UI of a running command.
func Prepared(ctx context.Context) bool {
	_, ok := ctx.Value(uiKey{}).(*UI)
	return ok
}

// Print writes an answer: doc for programs, the page that view fills for people, the
// names of the page for -o name.
func (u *UI) Print(doc any, view func(*Page)) error { return u.print(doc, view, false) }

// Emit is Print for one document of a stream: a program gets one line.
func (u *UI) Emit(doc any, view func(*Page)) error { return u.print(doc, view, true) }

func (u *UI) print(doc any, view func(*Page), oneLine bool) error {
	if u.Output.Machine() {
		return u.Output.write(u.IO, doc, oneLine)
	}
	page := u.page()
	view(page)
	text := page.render(u.Color)
	if u.Output.Format == FormatName {
		text = namesText(page.names)
	}
	_, err := io.WriteString(u.Out, text)
	return err
}

func (u *UI) page() *Page {
	return &Page{Wide: u.Output.Format == FormatWide, Terminal: u.OutTerminal, Width: u.Width}
}

// Note tells a person something beside the answer, on standard error. A program that
// reads JSON is not told.
func (u *UI) Note(format string, args ...any) {
	if u.Output.Machine() {
		return
	}
	// Nothing is left to tell a failure of standard error to.
	_, _ = fmt.Fprintln(u.Err, Clean(fmt.Sprintf(format, args...)))
}

// Waiting tells a person what a command waits for before it goes on.
func (u *UI) Waiting(why error) {
	text := why.Error()
	if p, ok := api.AsError(why); ok {
		text = p.Detail
	}
	u.Note("waiting: %s", text)
}

// Progress tells a person on a terminal how a longer command gets on.
func (u *UI) Progress(spans ...Span) {
	if u.Output.Machine() || !u.ErrTerminal {
		return
	}
	page := Page{Terminal: true, Width: u.Width}
	page.Line(spans...)
	_, _ = io.WriteString(u.Err, page.render(u.ErrColor))
}

// Fail shows err and returns its exit code; nil is 0 and shows nothing.
func (u *UI) Fail(err error) int {
	if err != nil {
		WriteProblem(u.Err, u.ErrColor, u.Output.Machine(), err)
	}
	return ExitCode(err)
}

// Bound returns ctx with the command's --timeout, where one was given.
func (u *UI) Bound(ctx context.Context) (context.Context, context.CancelFunc) {
	if u.Timeout <= 0 {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, u.Timeout)
}

// Read returns the options of a read that does not wait.
func (u *UI) Read() api.ReadOptions {
	return api.ReadOptions{Consistency: u.Consistency, MaxStale: u.MaxStale}
}
