package egress

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// OrHost returns it with what is left open filled with what this host does.
func (s System) OrHost() System {
	if s.Dial == nil {
		s.Dial = dialHost
	}
	if s.Lookup == nil {
		s.Lookup = lookupHost
	}
	if s.Own == nil {
		s.Own = ownAddresses
	}
	if s.Local == nil {
		s.Local = routedHere
	}
	return s
}

// dialHost connects by TCP. A connection that is closed, or whose process dies, sends nothing more.
func dialHost(ctx context.Context, to netip.AddrPort, buffer int) (net.Conn, error) {
	d := net.Dialer{Control: func(_, _ string, c syscall.RawConn) error {
		return control(c, func(fd int) error {
			if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUF, buffer); err != nil {
				return fmt.Errorf("bound what is sent: %w", err)
			}
			if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, buffer); err != nil {
				return fmt.Errorf("bound what is received: %w", err)
			}
			return unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
		})
	}}
	return d.DialContext(ctx, "tcp", to.String())
}

// control calls f with the descriptor of a connection.
func control(c syscall.RawConn, f func(fd int) error) error {
	var err error
	if outer := c.Control(func(fd uintptr) { err = f(int(fd)) }); outer != nil {
		return outer
	}
	return err
}

// lookupHost asks for the addresses of a name, as this host knows them.
func lookupHost(ctx context.Context, name string) ([]netip.Addr, error) {
	r := net.Resolver{PreferGo: true} // which ends with its context
	return r.LookupNetIP(ctx, "ip", name)
}

// ownAddresses lists the addresses of this host.
func ownAddresses() ([]netip.Addr, error) {
	all, err := net.InterfaceAddrs()
	if err != nil {
		return nil, fmt.Errorf("list the host's addresses: %w", err)
	}
	var own []netip.Addr
	for _, a := range all {
		if p, err := netip.ParsePrefix(a.String()); err == nil {
			own = append(own, p.Addr().Unmap().WithZone(""))
		}
	}
	return own, nil
}

// routedHere reports whether this host's routes lead to an address on the host itself, as they do with
// one that a load balancer passes on. Nothing is sent.
func routedHere(to netip.AddrPort) bool {
	conn, err := net.Dial("udp", to.String()) //nolint:noctx // it waits for nothing
	if err != nil {
		return false // nor does anything else get there
	}
	defer conn.Close() //nolint:errcheck // nothing was sent
	from, ok := conn.LocalAddr().(*net.UDPAddr)
	return ok && from.AddrPort().Addr().Unmap() == to.Addr()
}

// socketOf returns the descriptor behind a connection; false is that it has none.
func socketOf(conn net.Conn) (syscall.RawConn, bool) {
	c, ok := conn.(syscall.Conn)
	if !ok {
		return nil, false
	}
	raw, err := c.SyscallConn()
	return raw, err == nil
}

// hurry tells the kernel how long what is sent may wait for the other side. It keeps to that whether
// this process runs or not.
func hurry(conn net.Conn, left time.Duration) error {
	raw, ok := socketOf(conn)
	if !ok {
		return nil
	}
	ms := min(max(left.Milliseconds(), 1), int64(24*time.Hour/time.Millisecond))
	return control(raw, func(fd int) error { return unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(ms)) })
}

// lingerTick is how often it is looked whether all was delivered.
const lingerTick = 5 * time.Millisecond

// deliver ends the sending side and waits until the other side has all of it, ctx ends, or it has taken
// too long. Where it has, the connection may be closed in peace.
func deliver(ctx context.Context, conn net.Conn) {
	tcp, ok := conn.(*net.TCPConn)
	if !ok || tcp.CloseWrite() != nil {
		return
	}
	raw, ok := socketOf(conn)
	if !ok {
		return
	}
	tick := time.NewTicker(lingerTick)
	defer tick.Stop()
	for range int(lingerMost / lingerTick) {
		waiting := 0
		err := control(raw, func(fd int) (err error) {
			waiting, err = unix.IoctlGetInt(fd, unix.TIOCOUTQ)
			return err
		})
		if err != nil {
			return
		}
		if waiting == 0 {
			_ = tcp.SetLinger(-1) // otherwise it is closed as one that is cut off, which is no harm
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}
