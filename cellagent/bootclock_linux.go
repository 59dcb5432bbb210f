package cellagent

import (
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// bootClock is CLOCK_BOOTTIME.
type bootClock struct{ boot string }

// openBootClock reads the boot's id once.
func openBootClock() (*bootClock, error) {
	raw, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return nil, fmt.Errorf("read boot id: %w", err)
	}
	boot := strings.TrimSpace(string(raw))
	if boot == "" {
		return nil, fmt.Errorf("read boot id: it is empty")
	}
	return &bootClock{boot: boot}, nil
}

// BootID returns the kernel's id of this boot.
func (c *bootClock) BootID() string { return c.boot }

// Now reads CLOCK_BOOTTIME.
func (c *bootClock) Now() int64 {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		// The kernel has had this clock since 2.6.39; without it no lease can be kept.
		panic(fmt.Sprintf("read CLOCK_BOOTTIME: %v", err))
	}
	return ts.Nano()
}
