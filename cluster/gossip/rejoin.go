package gossip

import (
	"context"
	"net"
	"strconv"
	"strings"
	"time"
)

// rejoinEvery is how often addresses that are not members are asked again: a partition that
// outlived memberlist's memory of the dead heals this way, and no other.
const rejoinEvery = time.Second

// Asked is closed when every address of Join was asked once: from then on Members has
// whoever was there to answer.
func (g *Gossip) Asked() <-chan struct{} { return g.asked }

// rejoin asks the addresses of Join, at once and then for ever.
func (g *Gossip) rejoin(ctx context.Context) {
	tick := time.NewTicker(rejoinEvery)
	defer tick.Stop()
	g.ask(ctx)
	close(g.asked)
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			g.ask(ctx)
		}
	}
}

// ask asks the addresses of Join that are no members.
func (g *Gossip) ask(ctx context.Context) {
	for _, addr := range g.c.Join {
		if ctx.Err() != nil {
			return
		}
		if g.present(ctx, addr) {
			continue
		}
		if _, err := g.list.Join([]string{addr}); err != nil {
			g.notTaken(addr, err)
		}
	}
}

// notTaken says why an address of Join did not take this scheduler: one that is not there yet is
// asked again without a word, one that refuses it is named, at once and every dropSaid.
func (g *Gossip) notTaken(addr string, err error) {
	cause := refusal(err.Error())
	if cause == "" {
		g.c.Log.Debug("scheduler not reached", "address", addr, "error", err)
		return
	}
	if now := time.Now(); g.refused[addr].IsZero() || now.Sub(g.refused[addr]) >= dropSaid {
		g.refused[addr] = now
		g.c.Log.Warn("refused as a member", "by", addr, "cause", cause, "cluster", g.c.ClusterID, "error", err)
	}
}

// refusal is why a join failed at a scheduler that is there; "" where it was not reached. memberlist
// says it in words, and one that is of another cluster closes the connection without any.
func refusal(text string) string {
	switch why, is := dropOf(text); {
	case is && why == DropCluster:
		return "it is of another cluster"
	case is && why == DropKey:
		return "it has another gossip key"
	case strings.Contains(text, "EOF") || strings.Contains(text, "connection reset"):
		return "it closed the connection without an answer, as one of another cluster does"
	}
	return ""
}

// present reports whether addr is a live member's, or this scheduler's own. A name that does
// not resolve is not.
func (g *Gossip) present(ctx context.Context, addr string) bool {
	ctx, cancel := context.WithTimeout(ctx, streamTimeout)
	defer cancel()
	ip, port, err := resolve(ctx, addr)
	if err != nil {
		return false
	}
	want := net.JoinHostPort(ip, strconv.Itoa(port))
	if want == g.Addr() || want == g.c.Bind {
		return true
	}
	for _, m := range g.Members() {
		if m.Alive && m.Addr == want {
			return true
		}
	}
	return false
}
