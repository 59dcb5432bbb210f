package tasklet

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Limits of a worker process. Memory is limited by the agent, run by run.
const (
	workerFiles    = 32      // descriptors
	workerFileSize = 1 << 30 // bytes of one cache file
	workerNice     = 5       // the agent's heartbeats go first
)

// confine takes away what a worker does not need and executes the second stage, which
// inherits every lock. It returns only when it fails.
func confine(parent int, dir string) error {
	// Locks are a thread's own; the thread that executes hands its own on.
	runtime.LockOSThread()
	if err := closeInherited(); err != nil {
		return err
	}
	if err := unix.Chdir("/"); err != nil {
		return fmt.Errorf("change to /: %w", err)
	}
	unix.Umask(0o077)
	if err := dieWith(parent); err != nil {
		return err
	}
	if err := limitResources(); err != nil {
		return err
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("set no_new_privs: %w", err)
	}
	isolation := []string{"process", "no_new_privs", "rlimits", "deadline_timer", "parent_death"}
	if abi, err := restrictFiles(dir); err == nil {
		isolation = append(isolation, "landlock_v"+strconv.Itoa(abi))
	}
	if err := dropCapabilities(); err == nil {
		isolation = append(isolation, "no_capabilities")
	}
	// What follows the program and its own arguments are those of Worker.
	argv := append([]string{}, os.Args[:len(os.Args)-4]...)
	argv = append(argv, stageServe, strconv.Itoa(parent), dir, strings.Join(isolation, ","))
	return fmt.Errorf("execute second stage: %w", unix.Exec("/proc/self/exe", argv, nil))
}

// dieWith asks the kernel for SIGKILL when the agent's starting thread ends. The agent may
// have died before the asking.
func dieWith(parent int) error {
	if err := unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL), 0, 0, 0); err != nil {
		return fmt.Errorf("set parent death signal: %w", err)
	}
	if os.Getppid() != parent {
		return errors.New("the agent has gone")
	}
	return nil
}

// closeInherited closes descriptors that came through the agent from whoever started it. The
// Go runtime's own are marked close-on-exec, inherited ones by their nature are not.
func closeInherited() error {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return fmt.Errorf("list descriptors: %w", err)
	}
	for _, e := range entries {
		fd, err := strconv.Atoi(e.Name())
		if err != nil || fd <= 2 {
			continue
		}
		if flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err == nil && flags&unix.FD_CLOEXEC == 0 {
			if err := unix.Close(fd); err != nil {
				return fmt.Errorf("close inherited descriptor: %w", err)
			}
		}
	}
	return nil
}

// limitResources sets the limits that never change, and makes the worker the first to be
// killed and the last to be scheduled when the host is short.
func limitResources() error {
	limits := []struct {
		name  string
		which int
		most  uint64
	}{
		{"core", unix.RLIMIT_CORE, 0},
		{"memlock", unix.RLIMIT_MEMLOCK, 0},
		{"msgqueue", unix.RLIMIT_MSGQUEUE, 0},
		{"nofile", unix.RLIMIT_NOFILE, workerFiles},
		{"fsize", unix.RLIMIT_FSIZE, workerFileSize},
	}
	for _, l := range limits {
		var now unix.Rlimit
		if err := unix.Getrlimit(l.which, &now); err != nil {
			return fmt.Errorf("read limit %s: %w", l.name, err)
		}
		most := min(l.most, now.Max)
		if err := unix.Setrlimit(l.which, &unix.Rlimit{Cur: most, Max: most}); err != nil {
			return fmt.Errorf("set limit %s: %w", l.name, err)
		}
	}
	// Hints to the kernel: a host that refuses them still confines.
	_ = os.WriteFile("/proc/self/oom_score_adj", []byte("1000"), 0)
	_ = unix.Setpriority(unix.PRIO_PROCESS, 0, workerNice)
	return nil
}

// dropCapabilities gives up every capability. With no_new_privs set, executing a program
// does not bring them back, not even to root.
func dropCapabilities() error {
	_ = unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) // none on old kernels
	head := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var none [2]unix.CapUserData
	if err := unix.Capset(&head, &none[0]); err != nil {
		return fmt.Errorf("drop capabilities: %w", err)
	}
	return nil
}
