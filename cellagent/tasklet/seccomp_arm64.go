package tasklet

import "golang.org/x/sys/unix"

// auditArch is what the kernel calls this architecture in a filter.
const auditArch = unix.AUDIT_ARCH_AARCH64

// archSyscalls lists the calls that go by another name here.
func archSyscalls() []uint32 { return []uint32{unix.SYS_FSTATAT} }
