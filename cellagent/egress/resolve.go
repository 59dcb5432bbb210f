package egress

import (
	"context"
	"net/netip"
	"slices"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/cellagent/work"
)

// addressesMost bounds the addresses of one name.
const addressesMost = 8

// resolve returns where HOST:PORT may be connected to.
func (e *Egress) resolve(ctx context.Context, address string) ([]netip.AddrPort, work.NetStatus) {
	host, port, err := api.SplitEgress(address)
	if err != nil {
		return nil, work.NetBadAddress
	}
	if addr, err := netip.ParseAddr(host); err == nil {
		if addr.Zone() != "" {
			return nil, work.NetBadAddress
		}
		return e.allowed([]netip.Addr{addr}, port, "")
	}
	name, err := api.HostName(host)
	if err != nil {
		return nil, work.NetBadAddress
	}
	if !slices.ContainsFunc(e.rules, func(r api.EgressRule) bool { return r.Name == name && r.Port == port }) {
		e.denied.Add(1)
		return nil, work.NetRefused
	}
	addrs, s := e.pinned(ctx, name)
	if s != work.NetOK {
		return nil, s
	}
	return e.allowed(addrs, port, name)
}

// pinned returns the addresses of a name: those that it had when it was first asked for, whatever it
// has become since.
func (e *Egress) pinned(ctx context.Context, name string) ([]netip.Addr, work.NetStatus) {
	e.mu.Lock()
	addrs, ok := e.pins[name]
	e.mu.Unlock()
	if ok {
		return addrs, work.NetOK
	}
	ctx, cancel := context.WithTimeout(ctx, lookupMost)
	defer cancel()
	found, err := e.system.Lookup(ctx, name)
	switch {
	case ctx.Err() != nil:
		return nil, e.gone()
	case err != nil || len(found) == 0:
		return nil, work.NetUnresolved
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if addrs, ok := e.pins[name]; ok { // somebody else was first
		return addrs, work.NetOK
	}
	if e.pins == nil {
		e.pins = map[string][]netip.Addr{}
	}
	addrs = slices.Clone(found[:min(len(found), addressesMost)])
	e.pins[name] = addrs
	return addrs, work.NetOK
}

// allowed returns those of the addresses that may be connected to, and a refusal where that is none.
// What the list allows by name it allows at public addresses of others; every other address has to
// be in it as one.
func (e *Egress) allowed(addrs []netip.Addr, port uint16, name string) ([]netip.AddrPort, work.NetStatus) {
	own, err := e.system.Own()
	if err != nil {
		return nil, work.NetUnreachable // better nobody than ourselves
	}
	var good []netip.AddrPort
	for _, addr := range addrs {
		to := netip.AddrPortFrom(addr.Unmap(), port)
		_, special := api.SpecialRange(to.Addr())
		listed := slices.ContainsFunc(e.rules, func(r api.EgressRule) bool { return r.Allows(to) })
		if special && listed || !special && (listed || name != "") && !slices.Contains(own, to.Addr()) && !e.system.Local(to) {
			good = append(good, to)
		}
	}
	if len(good) == 0 {
		e.denied.Add(1)
		return nil, work.NetRefused
	}
	return good, work.NetOK
}
