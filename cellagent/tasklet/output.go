package tasklet

import (
	"fmt"
	"io"
)

// outputExceededError unwinds a guest that wrote more than it may. An error from a writer
// would not: the guest sees it as a failed write and may try again for ever.
type outputExceededError struct {
	stream string
	limit  int64
}

func (e *outputExceededError) Error() string {
	return fmt.Sprintf("%s is longer than %d bytes", e.stream, e.limit)
}

// socketError unwinds a guest whose agent does not take its output any more.
type socketError struct{ err error }

func (e *socketError) Error() string { return "write to agent: " + e.err.Error() }
func (e *socketError) Unwrap() error { return e.err }

// cappedWriter sends a guest's stream to the agent as it is written, up to left bytes: what
// was sent is kept, however the run ends.
type cappedWriter struct {
	w      io.Writer
	t      frameType
	stream string
	limit  int64
	left   int64
}

func newCappedWriter(w io.Writer, t frameType, stream string, limit int64) *cappedWriter {
	return &cappedWriter{w: w, t: t, stream: stream, limit: limit, left: limit}
}

// Write sends p in pieces. It panics at the cap, after sending what fits.
func (c *cappedWriter) Write(p []byte) (int, error) {
	n := len(p)
	over := int64(n) > c.left
	if over {
		p = p[:c.left]
	}
	for len(p) > 0 {
		piece := p[:min(len(p), maxPiece)]
		if err := writeFrame(c.w, c.t, piece); err != nil {
			panic(&socketError{err})
		}
		c.left -= int64(len(piece))
		p = p[len(piece):]
	}
	if over {
		panic(&outputExceededError{c.stream, c.limit})
	}
	return n, nil
}
