package gossip

import (
	"context"
	"net"
	"strconv"
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
			g.c.Log.Debug("scheduler not reached", "address", addr, "error", err)
		}
	}
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
