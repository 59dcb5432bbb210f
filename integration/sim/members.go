package sim

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/fsm"
)

// A world with spares has schedulers without a vote, and members that come and go: a disk is
// lost for good, and its scheduler is replaced, first by a spare and then by one that comes with
// an empty disk under another id; an operator removes a member, or has the lead handed over.
// A disk is only lost where the others hold all that was acknowledged: see mayLose.

// comings lists what happens to the members, besides the faults.
func comings() []fault {
	return []fault{
		{name: "transfer", together: 3, strike: (*World).transfer},
		{name: "remove", together: 3, strike: (*World).remove},
		{name: "lose disk", together: 4, strike: (*World).loseDisk},
	}
}

// changeTime bounds a change of the members.
const changeTime = 5 * time.Second

// transfer hands the lead over, to anybody or to one that is named.
func (w *World) transfer(ctx context.Context) (time.Duration, func()) {
	s := w.leaderSeat(ctx)
	if s == nil {
		return 0, nil
	}
	var to api.NodeID
	if w.dice.chance(0.5) {
		to = pick(w.dice, w.others(s)).id()
	}
	n := s.alive()
	if n == nil {
		return 0, nil
	}
	ctx, cancel := context.WithTimeout(ctx, changeTime)
	defer cancel()
	if _, err := n.node.Transfer(ctx, to); err != nil {
		w.trace.add("not transferred: %s", api.KindOf(err))
		return 0, nil
	}
	return 0, noEnd
}

// remove takes a member out by command, or perhaps did not; its host comes back as another one.
func (w *World) remove(ctx context.Context) (time.Duration, func()) {
	s := w.leaderSeat(ctx)
	if s == nil {
		return 0, nil
	}
	victim, n := pick(w.dice, w.seats), s.alive()
	if n == nil {
		return 0, nil
	}
	id := victim.id()
	change, cancel := context.WithTimeout(ctx, changeTime)
	defer cancel()
	if err := n.node.Remove(change, id, false, api.Dismissal{}); err != nil && api.KindOf(err) != api.OutcomeUnknown {
		w.trace.add("not removed: %s", api.KindOf(err))
		return 0, nil
	}
	w.trace.add("removed %s", id)
	return w.dice.between(time.Second, 10*time.Second), func() { w.renew(victim) }
}

// renewWithin is how long it may take until a removed member can come back as another one: once
// no other fault is made, not long.
const renewWithin = 5 * time.Minute

// renew ends who lives in a seat and lets another one begin there, with an empty disk.
func (w *World) renew(s *seat) {
	ctx, cancel := context.WithTimeout(context.Background(), w.cfg.Faults+renewWithin)
	defer cancel()
	for !w.mayLose(ctx, s) {
		if w.failed() {
			return
		}
		if !pass(ctx, time.Second) {
			w.fail("no leader says, for %s after the faults, that scheduler %s can be replaced", renewWithin, s.id())
			return
		}
	}
	up := s.fell()
	s.lose()
	w.trace.add("replaced by %s", s.id())
	up()
}

// loseDisk takes the disk of a scheduler for good.
func (w *World) loseDisk(ctx context.Context) (time.Duration, func()) {
	s := pick(w.dice, w.seats)
	if !w.mayLose(ctx, s) {
		return 0, nil
	}
	if s.alive().leads() {
		w.count("leader kills")
	}
	up := s.fell()
	s.lose()
	w.trace.add("replaced by %s", s.id())
	return w.dice.between(time.Second, 25*time.Second), up
}

// mayLose reports whether nothing that was acknowledged can be lost with a disk, and no quorum
// for ever: its scheduler is no member, or there are three voters and more, and none of their
// disks is lost. One without a vote may get one the moment after it died. What the leader says of
// the members is committed when an entry behind it is.
func (w *World) mayLose(ctx context.Context, s *seat) bool {
	at := w.leaderSeat(ctx)
	if at == nil {
		return false
	}
	n, id := at.alive(), s.id()
	if n == nil {
		return false
	}
	peers := n.node.Peers()
	ctx, cancel := context.WithTimeout(ctx, changeTime)
	defer cancel()
	if _, err := n.node.Propose(ctx, fsm.Entry{Commands: []fsm.Command{fsm.Tick{}}}); err != nil {
		return false
	}
	if !slices.ContainsFunc(peers, func(p api.Peer) bool { return p.Node == id }) {
		return true
	}
	voters, there := votersOf(peers), w.ids()
	return len(voters) >= 3 && !slices.ContainsFunc(voters, func(v api.NodeID) bool { return !slices.Contains(there, v) })
}

// voters lists those of the members that have a vote, as this scheduler knows them.
func (n *scheduler) voters() []api.NodeID { return votersOf(n.node.Peers()) }

func votersOf(peers []api.Peer) []api.NodeID {
	var list []api.NodeID
	for _, p := range peers {
		if p.Voter {
			list = append(list, p.Node)
		}
	}
	return list
}

// ids lists the schedulers whose disks there are.
func (w *World) ids() []api.NodeID {
	list := make([]api.NodeID, len(w.seats))
	for i, s := range w.seats {
		list[i] = s.id()
	}
	return list
}

// incomplete says what the group lacks: every scheduler is a member, and no fewer of them have
// a vote than are wanted.
func (w *World) incomplete(leader *scheduler) string {
	peers := leader.node.Peers()
	for _, id := range w.ids() {
		if !slices.ContainsFunc(peers, func(p api.Peer) bool { return p.Node == id }) {
			return fmt.Sprintf("scheduler %s is no member", id)
		}
	}
	if v := leader.voters(); len(v) < w.cfg.Schedulers {
		return fmt.Sprintf("of %d voters there are only %v", w.cfg.Schedulers, v)
	}
	return ""
}
