package cluster

import (
	"context"
	"errors"
	"net"
	"slices"
	"syscall"
	"time"

	"github.com/hashicorp/raft"

	"github.com/grafos/grafos/api"
)

// The leader watch shortens fail-over when the leader's process dies: its kernel closes its
// connections and refuses new ones, which says within a millisecond what a timer says after
// a second. It only starts an election, so that safety stays Raft's own; a leader that
// hangs, or whose host is lost, is left to the timers.
const (
	// watchStagger keeps the followers from standing at once: by rank among the living.
	watchStagger = 100 * time.Millisecond
	watchDial    = 500 * time.Millisecond
	// watchBackoff is how long a follower leaves alone a leader that closed the connection
	// and still accepts new ones: it refuses this follower, or restarted its listener.
	watchBackoff = time.Second
)

// watchLeader holds a silent connection to the leader until ctx ends, and stands for
// election when the connection ends and the leader's address refuses a new one.
func (n *Node) watchLeader(ctx context.Context) {
	addr, id := n.raft.LeaderWithID()
	term := n.raft.CurrentTerm()
	for ctx.Err() == nil {
		conn, err := n.stream.Dial(addr, watchDial)
		if err == nil {
			held(ctx, conn)
			conn, err = n.redial(ctx, addr)
			if err == nil {
				closeQuietly(conn)
			}
		}
		if ctx.Err() == nil && errors.Is(err, syscall.ECONNREFUSED) {
			n.stand(ctx, id, addr, term)
			return
		}
		if !wait(ctx, watchBackoff) {
			return
		}
	}
}

func (n *Node) redial(ctx context.Context, addr raft.ServerAddress) (net.Conn, error) {
	d := net.Dialer{Timeout: watchDial}
	return d.DialContext(ctx, "tcp", string(addr))
}

// held blocks until the peer closes conn or ctx ends. Nothing is ever sent on it.
func held(ctx context.Context, conn net.Conn) {
	stop := context.AfterFunc(ctx, func() { closeQuietly(conn) })
	defer stop()
	var b [1]byte
	_, _ = conn.Read(b[:]) // whatever ends it: an end is all there is to learn
	closeQuietly(conn)
}

// stand starts an election in this follower's turn, unless somebody was faster.
func (n *Node) stand(ctx context.Context, id raft.ServerID, addr raft.ServerAddress, term uint64) {
	rank := n.rank(id)
	if rank < 0 || !wait(ctx, time.Duration(rank)*watchStagger) {
		return
	}
	_, leader := n.raft.LeaderWithID()
	if leader != id || n.raft.CurrentTerm() != term || n.raft.State() != raft.Follower {
		return
	}
	if conn, err := n.redial(ctx, addr); err == nil {
		closeQuietly(conn)
		return
	}
	n.log.Info("the leader's process is gone: standing for election", "leader", string(id), "term", term)
	if err := n.trans.startElection(ctx, n.header()); err != nil {
		n.log.Warn("start election", "error", err)
	}
}

// rank is this voter's place among the voters without the dead leader, by name; -1 when it
// has no vote.
func (n *Node) rank(dead raft.ServerID) int {
	f := n.raft.GetConfiguration()
	if f.Error() != nil {
		return -1
	}
	var voters []api.NodeID
	for _, s := range f.Configuration().Servers {
		if s.Suffrage == raft.Voter && s.ID != dead {
			voters = append(voters, api.NodeID(s.ID))
		}
	}
	slices.Sort(voters)
	return slices.Index(voters, n.cfg.Node)
}
