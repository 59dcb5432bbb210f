package peer

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"

	"github.com/grafos/grafos/api/clock"
)

const (
	// unreachedAgain is how often it is said that a member is still not reached, reachedAfter
	// for how long nothing may have failed until it is said that it is again, and unreachedPast
	// after how long a failure is nothing that goes on.
	unreachedAgain = 30 * time.Second
	reachedAfter   = 3 * time.Second
	unreachedPast  = 2 * time.Minute
	// unreachedTexts bounds the different failures of one member that are written at once.
	unreachedTexts = 16
	// unreachedNames bounds the addresses whose members are known.
	unreachedNames = 64
)

// unreached is raft's log, in which a member that is not reached is an error several times a
// second. Each failure that is new of a member is written at once, as raft says it; what
// repeats itself is counted, and said every unreachedAgain. All other lines pass.
type unreached struct {
	hclog.Logger
	clock clock.Clock
	some  atomic.Bool // that somebody is not reached

	mu      sync.Mutex
	members map[raft.ServerID]*trouble
	names   map[raft.ServerAddress]raft.ServerID
}

// trouble is what failed with one member since it was reached last.
type trouble struct {
	began, last, said time.Time
	texts             map[string]bool // what was written
	count             int             // of all failures
}

func newUnreached(log hclog.Logger, c clock.Clock) *unreached {
	return &unreached{Logger: log, clock: c, members: map[raft.ServerID]*trouble{}, names: map[raft.ServerAddress]raft.ServerID{}}
}

// Error writes a line, unless it repeats what is known of a member.
func (u *unreached) Error(msg string, args ...any) {
	member, why := u.about(args)
	if member == nil || why == nil {
		u.Logger.Error(msg, args...)
		return
	}
	id, tr, fresh, due := u.note(member, msg+" "+digitless(why))
	switch {
	case fresh:
		u.Logger.Error(msg, args...)
	case due:
		u.Logger.Error("a member is still not reached", "peer", string(id), "errors", tr.count, "for", tr.last.Sub(tr.began).Round(time.Second).String(), "error", why)
	}
}

// about finds the member and the error that a line is about; nil where it is about none.
func (*unreached) about(args []any) (member, why any) {
	for i := 0; i+1 < len(args); i += 2 {
		switch args[i] {
		case "peer", "target":
			member = args[i+1]
		case "error":
			why = args[i+1]
		}
	}
	return member, why
}

// digitless is an error without its numbers: the port of each try is another one.
func digitless(why any) string {
	return strings.Map(func(r rune) rune {
		if r >= '0' && r <= '9' {
			return -1
		}
		return r
	}, fmt.Sprint(why))
}

// note counts a failure. It is fresh where nothing like it was written since the member was
// reached, and due where nothing was for unreachedAgain.
func (u *unreached) note(member any, text string) (id raft.ServerID, now trouble, fresh, due bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	id = u.name(member)
	at := u.clock.Now()
	tr := u.members[id]
	if tr == nil || at.Sub(tr.last) > unreachedPast {
		tr = &trouble{began: at, texts: map[string]bool{}}
		u.members[id] = tr
		u.some.Store(true)
	}
	tr.last = at
	tr.count++
	fresh = !tr.texts[text] && len(tr.texts) < unreachedTexts
	due = at.Sub(tr.said) >= unreachedAgain
	if fresh {
		tr.texts[text] = true
	}
	if fresh || due {
		tr.said = at
	}
	return id, *tr, fresh, due
}

// name is the member that raft means; of heartbeats it says the address alone.
func (u *unreached) name(member any) raft.ServerID {
	switch m := member.(type) {
	case raft.Server:
		if len(u.names) >= unreachedNames { // of old addresses; heartbeats are said by address until the next failure
			clear(u.names)
		}
		u.names[m.Address] = m.ID
		return m.ID
	case raft.ServerID:
		return m
	case raft.ServerAddress:
		if id, ok := u.names[m]; ok {
			return id
		}
	}
	return raft.ServerID(fmt.Sprint(member))
}

// reached takes note that a member answered.
func (u *unreached) reached(id raft.ServerID, at raft.ServerAddress) {
	if !u.some.Load() {
		return
	}
	u.mu.Lock()
	tr := u.members[id]
	if byAddress := u.members[raft.ServerID(at)]; tr == nil {
		tr = byAddress
	}
	if tr == nil || clock.Since(u.clock, tr.last) < reachedAfter {
		u.mu.Unlock()
		return
	}
	was := *tr
	delete(u.members, id)
	delete(u.members, raft.ServerID(at))
	u.some.Store(len(u.members) > 0)
	u.mu.Unlock()
	u.Info("a member is reached again", "peer", string(id), "errors", was.count, "for", was.last.Sub(was.began).Round(time.Millisecond).String())
}
