package netlab

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"syscall"
)

// Host is one host of the lab: a network namespace with a loopback and one interface.
type Host struct {
	Name string
	Addr netip.Addr
	lab  *Lab
	ns   *os.File // the namespace; open for as long as the lab is
}

// Start starts a process on the host. It dies when this process does, however that ends.
func (h *Host) Start(cmd *exec.Cmd) error {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	return h.lab.thread.do(func() error { return within(h.ns, cmd.Start) })
}

// Run runs f on a thread inside the host's namespace and waits for it: sockets that f makes
// are the host's, wherever they are used later.
func (h *Host) Run(f func() error) error {
	result := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		err := within(h.ns, f)
		if _, lost := errors.AsType[*lostThreadError](err); !lost {
			runtime.UnlockOSThread() // else the thread ends with this goroutine
		}
		result <- err
	}()
	return <-result
}

// DialContext connects from the host, to an address of numbers: names are not resolved there.
func (h *Host) DialContext(ctx context.Context, network, addr string) (conn net.Conn, err error) {
	err = h.Run(func() error {
		var d net.Dialer
		conn, err = d.DialContext(ctx, network, addr)
		return err
	})
	return conn, err
}
