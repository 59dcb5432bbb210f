package peer

import (
	"errors"
	"sync/atomic"
	"time"

	"github.com/grafos/grafos/api/clock"
	"github.com/grafos/grafos/api/mutant"
)

// hushed is in which term, and until when, a node tells its followers nothing. The zero value
// is never. A node that is elected again has written its vote: then its disk does not hang.
type hushed struct {
	clock clock.Clock
	spell atomic.Pointer[hush]
}

type hush struct {
	term  uint64
	until time.Time
}

// errHushed is why nothing was sent.
var errHushed = errors.New("this leader's disk hangs: it says nothing, so that another one is elected")

// Hush makes the node, as the leader of a term, silent for d from now; it reports whether it
// was not before.
func (t *Transport) Hush(term uint64, d time.Duration) bool {
	was := t.quiet.silent(term)
	t.quiet.spell.Store(&hush{term: term, until: t.quiet.clock.Now().Add(d)})
	return !was
}

// Hushed reports whether nothing of a term may be sent now.
func (t *Transport) Hushed(term uint64) bool { return t.quiet.silent(term) }

// silent reports whether nothing of a term may be sent now.
func (h *hushed) silent(term uint64) bool {
	s := h.spell.Load()
	return !mutant.On(mutant.HungTalks) && s != nil && term <= s.term && h.clock.Now().Before(s.until)
}
