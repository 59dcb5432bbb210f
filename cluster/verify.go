package cluster

import (
	"context"
	"errors"
	"fmt"
	"reflect"

	"github.com/hashicorp/raft"

	"github.com/grafos/grafos/cluster/peer"
)

// Verify returns nil when this node led at some moment since the call: a majority of the voters
// answered messages that were sent after it began, in the term that this node leads before and
// after. Who answers in a term has voted for nobody in a later one, so no later leader was
// elected before the call.
func (n *Node) Verify(ctx context.Context) error { return n.verify(ctx, n.raft.CurrentTerm()) }

// verify is Verify for one term. Those that run at a time share the messages.
func (n *Node) verify(ctx context.Context, term uint64) error {
	ctx, cancel := context.WithTimeout(ctx, verifyTimeout)
	defer cancel()
	others, need := n.electorate()
	q := n.trans.Ask(term, others, need)
	defer n.trans.Forget(q)
	for {
		changed := n.leadership.wait()
		if err := n.holds(term); err != nil {
			return err
		}
		select {
		case err := <-q.Done():
			if err != nil {
				return fmt.Errorf("verify leadership: %w", err)
			}
			return n.holds(term)
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("verify leadership: %w: %w", peer.ErrOpen, ctx.Err())
		}
	}
}

// holds says what speaks against this node's leading a term, from what it knows itself.
func (n *Node) holds(term uint64) error {
	switch {
	case !n.leadership.pulse.steady():
		return errors.New("this process stood still just now, and cannot be sure of anything yet")
	case n.handing.Load() > 0:
		return errors.New("this node hands its leadership over")
	case n.raft.State() != raft.Leader || n.raft.CurrentTerm() != term:
		return fmt.Errorf("this node does not lead term %d any more", term)
	}
	return nil
}

// handOver gives leadership away. What is verified meanwhile would be out of date at once.
func (n *Node) handOver(transfer func() raft.Future) error {
	n.handing.Add(1)
	defer n.handing.Add(-1)
	f := transfer()
	endsWith(f, n.raftEnds)
	return f.Error()
}

// endsWith has a future end with raft, as most of them do.
// A hand-over waits in a queue of raft's, which nobody reads where its main loop has ended
// (raft v1.8.0, initiateLeadershipTransfer; stable.go), and has no other field for it.
func endsWith(f raft.Future, end chan struct{}) {
	v := reflect.ValueOf(f)
	if v.Kind() != reflect.Pointer {
		return // it is answered already
	}
	if c := v.Elem().FieldByName("ShutdownCh"); c.IsValid() && c.CanSet() {
		c.Set(reflect.ValueOf(end))
	}
}
