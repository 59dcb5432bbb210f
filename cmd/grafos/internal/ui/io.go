package ui

import (
	"io"
	"os"
	"strconv"
	"time"

	"golang.org/x/term"
)

// Widths of a terminal that does not tell its own, and the least that is laid out for.
const (
	defaultWidth = 120
	minWidth     = 40
)

// IO is where a command reads and writes, and what is at the other end.
type IO struct {
	In  io.Reader
	Out io.Writer
	Err io.Writer

	InTerminal  bool
	OutTerminal bool
	ErrTerminal bool
	// Width is the columns of the terminal behind Out.
	Width int
	// Color and ErrColor say whether Out and Err take colour.
	Color    bool
	ErrColor bool
	// Now is the clock that ages are shown by.
	Now func() time.Time
}

// NewIO looks at the three streams and at NO_COLOR, CLICOLOR_FORCE, COLUMNS and
// GRAFOS_FORCE_TTY: a number of columns to lay out for although Out is a pipe, so that
// `GRAFOS_FORCE_TTY=100 grafos fabric cells | less -R` shows what a terminal would.
func NewIO(in io.Reader, out, errOut io.Writer, getenv func(string) string) IO {
	s := IO{In: in, Out: out, Err: errOut, Width: defaultWidth, Now: time.Now}
	_, s.InTerminal = terminal(in)
	width, isTerminal := terminal(out)
	_, s.ErrTerminal = terminal(errOut)
	s.OutTerminal = isTerminal
	if n, err := strconv.Atoi(getenv("COLUMNS")); err == nil && n > 0 {
		width = n
	}
	if n, err := strconv.Atoi(getenv("GRAFOS_FORCE_TTY")); err == nil && n > 0 {
		s.OutTerminal, width = true, n
	}
	if width > 0 {
		s.Width = max(width, minWidth)
	}
	force := getenv("CLICOLOR_FORCE")
	forced := force != "" && force != "0"
	plain := getenv("NO_COLOR") != "" || getenv("TERM") == "dumb"
	s.Color = forced || isTerminal && !plain
	s.ErrColor = forced || s.ErrTerminal && !plain
	return s
}

// terminal reports whether stream is a terminal, and how wide; 0 is not known.
func terminal(stream any) (width int, ok bool) {
	f, isFile := stream.(*os.File)
	if !isFile || f == nil || !term.IsTerminal(int(f.Fd())) {
		return 0, false
	}
	width, _, err := term.GetSize(int(f.Fd()))
	if err != nil {
		return 0, true
	}
	return width, true
}
