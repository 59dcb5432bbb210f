package tasklet

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// lockDown is the last lock: after it the process cannot be traced or dumped, and makes only
// the system calls that a Go program and its code cache need. It returns what took hold.
func lockDown() []string {
	var held []string
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err == nil {
		held = append(held, "undumpable")
	}
	if auditArch == 0 {
		return held
	}
	filter := seccompFilter(auditArch, append(syscalls(), archSyscalls()...))
	prog := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	// TSYNC: every thread of the process, not only this one.
	_, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER,
		unix.SECCOMP_FILTER_FLAG_TSYNC, uintptr(unsafe.Pointer(&prog)))
	if errno == 0 {
		held = append(held, "seccomp")
	}
	return held
}

// syscalls lists what a worker may ask of the kernel, on every architecture. There is no
// socket, no program to execute, no signal to another process.
func syscalls() []uint32 {
	return []uint32{
		// memory
		unix.SYS_MMAP, unix.SYS_MUNMAP, unix.SYS_MPROTECT, unix.SYS_MADVISE, unix.SYS_MREMAP,
		unix.SYS_MINCORE, unix.SYS_BRK, unix.SYS_MEMBARRIER,
		// threads and signals to themselves
		unix.SYS_FUTEX, unix.SYS_GETTID, unix.SYS_GETPID, unix.SYS_GETPPID, unix.SYS_TGKILL,
		unix.SYS_SCHED_YIELD, unix.SYS_SCHED_GETAFFINITY, unix.SYS_SET_ROBUST_LIST, unix.SYS_RSEQ,
		unix.SYS_RT_SIGACTION, unix.SYS_RT_SIGPROCMASK, unix.SYS_RT_SIGRETURN, unix.SYS_SIGALTSTACK,
		unix.SYS_RESTART_SYSCALL, unix.SYS_EXIT, unix.SYS_EXIT_GROUP,
		// time
		unix.SYS_NANOSLEEP, unix.SYS_CLOCK_NANOSLEEP, unix.SYS_CLOCK_GETTIME, unix.SYS_GETTIMEOFDAY,
		unix.SYS_TIMER_SETTIME, unix.SYS_GETRUSAGE, unix.SYS_GETRANDOM,
		// the socket and the code cache
		unix.SYS_READ, unix.SYS_WRITE, unix.SYS_WRITEV, unix.SYS_PREAD64, unix.SYS_PWRITE64,
		unix.SYS_CLOSE, unix.SYS_OPENAT, unix.SYS_FSTAT, unix.SYS_STATX, unix.SYS_LSEEK, unix.SYS_FCNTL,
		unix.SYS_FSYNC, unix.SYS_RENAMEAT, unix.SYS_RENAMEAT2, unix.SYS_UNLINKAT, unix.SYS_MKDIRAT,
		unix.SYS_GETDENTS64, unix.SYS_COPY_FILE_RANGE,
		// Go's poller
		unix.SYS_EPOLL_CREATE1, unix.SYS_EPOLL_CTL, unix.SYS_EPOLL_PWAIT, unix.SYS_EVENTFD2, unix.SYS_PIPE2,
	}
}

// Offsets into struct seccomp_data, and what is loaded from it.
const (
	dataNr   = 0
	dataArch = 4
	dataArg0 = 16 // the lower half, on little-endian machines
)

// seccompFilter makes the program: another architecture dies, a listed call is allowed, clone
// only makes threads, clone3 does not exist (C libraries then take clone), the rest is EPERM.
func seccompFilter(arch uint32, allowed []uint32) []unix.SockFilter {
	const (
		load   = unix.BPF_LD | unix.BPF_W | unix.BPF_ABS
		equal  = unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K
		bitset = unix.BPF_JMP | unix.BPF_JSET | unix.BPF_K
		ret    = unix.BPF_RET | unix.BPF_K
	)
	allow := unix.SockFilter{Code: ret, K: unix.SECCOMP_RET_ALLOW}
	deny := func(e unix.Errno) unix.SockFilter {
		return unix.SockFilter{Code: ret, K: unix.SECCOMP_RET_ERRNO | uint32(e)}
	}
	f := []unix.SockFilter{
		{Code: load, K: dataArch},
		{Code: equal, Jt: 1, K: arch},
		{Code: ret, K: unix.SECCOMP_RET_KILL_PROCESS},
		{Code: load, K: dataNr},
		{Code: equal, Jf: 1, K: unix.SYS_CLONE3},
		deny(unix.ENOSYS),
		{Code: equal, Jf: 4, K: unix.SYS_CLONE},
		{Code: load, K: dataArg0},
		{Code: bitset, Jf: 1, K: unix.CLONE_THREAD},
		allow,
		deny(unix.EPERM),
	}
	for _, nr := range allowed {
		f = append(f, unix.SockFilter{Code: equal, Jf: 1, K: nr}, allow)
	}
	return append(f, deny(unix.EPERM))
}
