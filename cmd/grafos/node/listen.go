package node

import (
	"errors"
	"net"
	"syscall"

	"github.com/grafos/grafos/api"
)

// listens says whose mistake it is that an address cannot be listened on. err is what came of
// it; what is no listener's stays as it is.
func listens(flag, bind string, err error) error {
	op, ok := errors.AsType[*net.OpError](err)
	if !ok || op.Op != "listen" {
		return err
	}
	_, port, _ := net.SplitHostPort(bind)
	lookup, named := errors.AsType[*net.DNSError](err)
	unknown := named && lookup.IsNotFound // a resolver that does not answer yet is nobody's mistake
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return api.Refuse(api.Conflict, "--%s is %q: another process listens there", flag, bind).
			WithHint("see which: ss -ltunp | grep :%s; end it, or give this one another --%s", port, flag)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return api.Refuse(api.InvalidArgument, "--%s is %q: this host has no such address", flag, bind).
			WithHint("see which it has: ip addr; 0.0.0.0 is all of them")
	case errors.Is(err, syscall.EACCES):
		return api.Refuse(api.InvalidArgument, "--%s is %q: this user may not listen on port %s", flag, bind, port).
			WithHint("ports below 1024 are root's: take another one")
	case unknown:
		return api.Refuse(api.InvalidArgument, "--%s is %q: its host is not found", flag, bind).
			WithHint("give an address of this host, or 0.0.0.0 for all of them")
	}
	return err
}
