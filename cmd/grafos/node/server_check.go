package node

import (
	"net"
	"strconv"
	"strings"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/cluster"
)

// What no scheduler can be run with is refused before anything is written: a data directory that
// was begun by mistake is taken for one that has joined.

// checkPlace refuses a place in the network, or in a cluster, that cannot be.
func (s *serverSettings) checkPlace() error {
	for _, a := range []struct{ what, bind, advertise string }{
		{"", s.Bind, s.Advertise},
		{"raft-", s.RaftBind, s.RaftAdvertise},
		{"gossip-", s.GossipBind, s.GossipAdvertise},
	} {
		if err := checkListens(a.what, a.bind, a.advertise); err != nil {
			return err
		}
	}
	for _, a := range s.Join {
		if _, err := checkAddress("join", a, 1); err != nil {
			return err
		}
	}
	for _, p := range s.Providers {
		name, kind, owned := strings.Cut(p, "=")
		if err := api.CheckName("provider", name); err != nil {
			return err
		}
		if owned && kind != string(api.OwnedManaged) && kind != string(api.OwnedByCustomer) {
			return api.Refuse(api.InvalidArgument, "--providers has %q: it is a name, or name=%s", p, api.OwnedManaged)
		}
	}
	if err := checkDebug(s.DebugBind); err != nil {
		return err
	}
	return cluster.CheckExpect(s.BootstrapExpect)
}

// checkListens refuses what cannot be listened on, or where others cannot reach it. Where any port
// will do there is none to advertise.
func checkListens(what, bind, advertise string) error {
	if _, err := checkAddress(what+"bind", bind, 0); err != nil {
		return err
	}
	least := 1
	if strings.HasSuffix(bind, ":0") {
		least = 0
	}
	host, err := checkAddress(what+"advertise", advertise, least)
	if err != nil {
		return err
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		return api.Refuse(api.InvalidArgument, "--%sadvertise is %q: others cannot reach it there", what, advertise)
	}
	return nil
}

// checkAddress returns the host of an address. Port 0 is any that is free.
func checkAddress(what, address string, least int) (string, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return "", api.Refuse(api.InvalidArgument, "--%s is %q: it must be host:port", what, address)
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || int(n) < least {
		return "", api.Refuse(api.InvalidArgument, "--%s is %q: the port must be a number from %d to 65535", what, address, least)
	}
	return host, nil
}

// checkDebug refuses to tell of the process to whoever is not on its host.
func checkDebug(bind string) error {
	if bind == "" {
		return nil
	}
	host, err := checkAddress("debug-bind", bind, 0)
	if err != nil {
		return err
	}
	if ip := net.ParseIP(host); ip == nil || !ip.IsLoopback() {
		return api.Refuse(api.InvalidArgument, "--debug-bind is %q: profiles are served on a loopback address only", bind)
	}
	return nil
}
