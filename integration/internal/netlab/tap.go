package netlab

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// device is the name of a host's one interface.
const device = "eth0"

// openTap makes the interface in the namespace of the calling thread. Whoever holds the file
// has the interface: it goes with it.
func openTap() (*os.File, error) {
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open /dev/net/tun: %w", err)
	}
	req, err := unix.NewIfreq(device)
	if err == nil {
		req.SetUint16(unix.IFF_TAP | unix.IFF_NO_PI)
		err = unix.IoctlIfreq(fd, unix.TUNSETIFF, req)
	}
	if err != nil {
		_ = unix.Close(fd) // the first error says more
		return nil, fmt.Errorf("make interface %s: %w", device, err)
	}
	// Non-blocking and set up: reads wait in the runtime's poller and end when it is closed.
	return os.NewFile(uintptr(fd), "tap "+device), nil
}
