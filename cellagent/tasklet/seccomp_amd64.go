package tasklet

import "golang.org/x/sys/unix"

// auditArch is what the kernel calls this architecture in a filter.
const auditArch = unix.AUDIT_ARCH_X86_64

// archSyscalls lists the calls that only this architecture has.
func archSyscalls() []uint32 {
	return []uint32{
		unix.SYS_NEWFSTATAT, unix.SYS_EPOLL_WAIT, unix.SYS_ARCH_PRCTL, unix.SYS_RENAME,
		unix.SYS_UNLINK, unix.SYS_OPEN, unix.SYS_STAT, unix.SYS_LSTAT,
	}
}
