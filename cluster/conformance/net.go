package conformance

import (
	"context"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"github.com/grafos/grafos/api"
)

const (
	checkConnected = "connected"
	checkElsewhere = "refused_elsewhere"
	checkCut       = "cut_at_its_end"
	checkCutOff    = "cut_when_revoked"
)

// leastRate is the bits a second under which a run's few bytes take too long.
const leastRate = 64 << 10

// useNet runs tasklets that connect to this scheduler's host, by the allow-list, past it, and for longer than
// their lease lasts.
func useNet(ctx context.Context, p *probe) {
	ask, why := p.runs(p.amountOf())
	if why == "" && p.amountOf() < leastRate {
		why = fmt.Sprintf("the cell has no %d bits/s for a run", leastRate)
	}
	if why == "" && p.Host == "" {
		why = "this scheduler names no address at which a run could reach it"
	}
	n := &calls{probe: p, ask: ask, why: why}
	p.check(ctx, checkConnected, "succeeded, and says what was answered", n.connected)
	p.check(ctx, checkElsewhere, fmt.Sprintf("dial returns %d", dialRefused), n.elsewhere)
	p.check(ctx, checkCut, "the connection is over within "+hears.String()+" of the end of its lease", n.cut)
	p.check(ctx, checkCutOff, "the connection is over within "+hears.String()+" of the order", n.cutOff)
}

// calls are the runs of useNet.
type calls struct {
	*probe
	ask api.Resources
	why string // why there are none
	far string // why there are none that connect
}

// call has a run make a call under a lease with that allow-list.
func (n *calls) call(ctx context.Context, c call, ttl time.Duration, allow string) (api.RunAnswer, error) {
	return n.Fabric.Execute(ctx, Work{Module: c.module(), Resources: n.ask, TTL: ttl, Egress: []string{allow}, call: &c})
}

// connected sends bytes and takes some back.
func (n *calls) connected(ctx context.Context) (string, bool, error) {
	if n.why != "" {
		return "", false, skipped(n.why)
	}
	w, err := n.listen(ctx)
	if err != nil {
		n.far = err.Error()
		return "", false, err
	}
	defer w.close()
	a, err := n.call(ctx, call{to: w.addr, secret: w.secret}, leaseTime, w.addr)
	if err != nil {
		return "", false, err
	}
	if n.far = unreached(a, w); n.far != "" {
		return "", false, skipped(n.far)
	}
	got := ranAs(a) + fmt.Sprintf(", and says %.40q", a.Output)
	if w.meeting() == nil {
		n.far = "no connection came from the cell"
		return got + "; nothing came to " + w.addr, false, nil
	}
	return got, a.State == api.RunSucceeded && a.Output == w.answer && wiped(a), nil
}

// unreached says why a run could not connect, where that need not be the cell's doing; "" is that it is, or that it
// could.
func unreached(a api.RunAnswer, w *wire) string {
	if w.meeting() != nil {
		return ""
	}
	if w.turnedAway() {
		return "more connect to " + w.addr + " than are let in"
	}
	status, ok := statusOf(a.Output)
	switch {
	case !ok:
		return ""
	case status == dialUnreachable, status == dialTimeout:
		return fmt.Sprintf("no connection from the cell to %s, where this scheduler listens: dial returns %d", w.addr, status)
	case status == dialRefused && public(w.addr):
		// Nobody connects to the public addresses of the cell's own host, whatever the list says.
		return fmt.Sprintf("the cell does not connect to %s, which may be its own host's", w.addr)
	}
	return ""
}

// public reports whether an address is one that an allow-list need not name itself.
func public(addr string) bool {
	to, err := netip.ParseAddrPort(addr)
	if err != nil {
		return false
	}
	_, special := api.SpecialRange(to.Addr())
	return !special
}

// elsewhere dials what the list does not allow.
func (n *calls) elsewhere(ctx context.Context) (string, bool, error) {
	if n.why != "" {
		return "", false, skipped(n.why)
	}
	w, err := n.listen(ctx)
	if err != nil {
		return "", false, err
	}
	defer w.close()
	listed, err := n.listen(ctx)
	if err != nil {
		return "", false, err
	}
	defer listed.close()
	a, err := n.call(ctx, call{to: w.addr, secret: w.secret}, leaseTime, listed.addr)
	if err != nil {
		return "", false, err
	}
	if w.meeting() != nil {
		return "it connected to " + w.addr + ", which is not listed", false, nil
	}
	status, ok := statusOf(a.Output)
	if !ok {
		return ranAs(a) + fmt.Sprintf(", and says %.40q", a.Output), false, nil
	}
	return fmt.Sprintf("dial returns %d", status), status == dialRefused, nil
}

// cut sends for as long as it may. A run that takes longer to begin than its lease lasts gets a longer one.
func (n *calls) cut(ctx context.Context) (string, bool, error) {
	why := n.why + n.far
	for _, ttl := range []time.Duration{shortest, 3 * shortest} {
		if why != "" {
			break
		}
		got, ok, err := n.pour(ctx, ttl)
		if ok || err != nil || got != "" {
			return got, ok, err
		}
	}
	if why == "" {
		why = "no run connected before its lease was over"
	}
	return "", false, skipped(why)
}

// pour is one run; "" is that it did not connect. The cell had the grant when the connection came, so it is over
// a TTL later.
func (n *calls) pour(ctx context.Context, ttl time.Duration) (string, bool, error) {
	w, err := n.listen(ctx)
	if err != nil {
		return "", false, err
	}
	defer w.close()
	asked := n.Clock.Now()
	if _, err = n.call(ctx, call{to: w.addr, secret: w.secret, pours: true}, ttl, w.addr); err != nil {
		return "", false, err
	}
	m := w.meeting()
	if m == nil {
		return "", false, nil
	}
	end := m.began.Add(ttl + ttl*api.DriftPPM/1_000_000)
	late := time.NewTimer(end.Add(hears).Sub(n.Clock.Now()))
	defer late.Stop()
	select {
	case <-m.over:
	case <-late.C:
		return "it is still open " + hears.String() + " after its lease", false, nil
	case <-ctx.Done():
		return "", false, ctx.Err()
	}
	if early := asked.Add(ttl).Sub(m.ended); early > 0 {
		return "", false, skipped(fmt.Sprintf("the connection broke off %s before its end", early.Round(time.Millisecond)))
	}
	over := m.ended.Sub(end).Round(time.Millisecond)
	if over > hears {
		return fmt.Sprintf("over %s after its lease", over), false, nil
	}
	return fmt.Sprintf("over %s after it was made, at a lease of %s", m.ended.Sub(m.began).Round(time.Millisecond), ttl), true, nil
}

// cutOff revokes the net lease of a run that sends.
func (n *calls) cutOff(ctx context.Context) (string, bool, error) {
	if why := n.why + n.far; why != "" {
		return "", false, skipped(why)
	}
	w, err := n.listen(ctx)
	if err != nil {
		return "", false, err
	}
	defer w.close()
	c := call{to: w.addr, secret: w.secret, pours: true}
	lease := make(chan api.LeaseID, 1)
	work := Work{
		Module: c.module(), Resources: n.ask, TTL: leaseTime, Egress: []string{w.addr}, call: &c,
		Begun: func(of map[api.LeaseKind]api.LeaseID) { lease <- of[n.kind] },
	}
	var running sync.WaitGroup
	defer running.Wait()
	run, stop := context.WithCancel(ctx)
	defer stop()
	var a api.RunAnswer
	var failure error
	ended := make(chan struct{})
	running.Go(func() {
		defer close(ended)
		a, failure = n.Fabric.Execute(run, work)
	})
	select {
	case <-w.came:
	case <-ended:
		if failure == nil {
			failure = skipped("the run did not connect: " + ranAs(a))
		}
		return "", false, failure
	}
	got, ok, err := n.overAfter(ctx, w, <-lease)
	if !ok || err != nil {
		return got, false, err
	}
	<-ended // which is when ctx ends, at the latest
	return got, true, failure
}

// overAfter revokes a lease, and waits for the end of the connection that was made under it.
func (n *calls) overAfter(ctx context.Context, w *wire, lease api.LeaseID) (string, bool, error) {
	if err := n.Fabric.Revoke(ctx, lease); err != nil {
		return "", false, err
	}
	ordered, m := n.Clock.Now(), w.meeting()
	late := time.NewTimer(hears)
	defer late.Stop()
	select {
	case <-m.over:
		return fmt.Sprintf("over %s after the order", max(m.ended.Sub(ordered), 0).Round(time.Millisecond)), true, nil
	case <-late.C:
		return "it is still open " + hears.String() + " after the order", false, nil
	case <-ctx.Done():
		return "", false, ctx.Err()
	}
}
