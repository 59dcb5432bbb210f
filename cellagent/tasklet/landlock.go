package tasklet

import (
	"errors"
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// What a worker may do: to its own program and the system's libraries, which a dynamically
// linked build needs to start again, and to its code cache.
const (
	readProgram = unix.LANDLOCK_ACCESS_FS_EXECUTE | unix.LANDLOCK_ACCESS_FS_READ_FILE
	readLibrary = readProgram | unix.LANDLOCK_ACCESS_FS_READ_DIR
	useCache    = unix.LANDLOCK_ACCESS_FS_READ_FILE | unix.LANDLOCK_ACCESS_FS_READ_DIR |
		unix.LANDLOCK_ACCESS_FS_WRITE_FILE | unix.LANDLOCK_ACCESS_FS_MAKE_REG |
		unix.LANDLOCK_ACCESS_FS_MAKE_DIR | unix.LANDLOCK_ACCESS_FS_REMOVE_FILE
)

// restrictFiles leaves the calling thread, and what it executes, no file but those. It
// returns the version of Landlock, and an error where the kernel has none.
func restrictFiles(dir string) (int, error) {
	version, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, unix.LANDLOCK_CREATE_RULESET_VERSION)
	if errno != 0 {
		return 0, fmt.Errorf("ask for landlock: %w", errno)
	}
	abi := int(version)
	attr := landlockHandles(abi)
	fd, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET,
		uintptr(unsafe.Pointer(&attr)), unsafe.Sizeof(attr), 0)
	if errno != 0 {
		return 0, fmt.Errorf("make landlock ruleset: %w", errno)
	}
	rules := int(fd)
	defer func() { _ = unix.Close(rules) }()

	cache := uint64(useCache)
	if abi >= 3 {
		cache |= unix.LANDLOCK_ACCESS_FS_TRUNCATE
	}
	if err := allowBeneath(rules, dir, cache); err != nil {
		return 0, err
	}
	if err := allowBeneath(rules, "/proc/self/exe", readProgram); err != nil {
		return 0, err
	}
	for _, lib := range []string{"/lib", "/lib64", "/usr/lib", "/usr/lib64"} {
		if err := allowBeneath(rules, lib, readLibrary); err != nil && !errors.Is(err, os.ErrNotExist) {
			return 0, err
		}
	}
	if _, _, errno := unix.Syscall(unix.SYS_LANDLOCK_RESTRICT_SELF, fd, 0, 0); errno != 0 {
		return 0, fmt.Errorf("restrict files: %w", errno)
	}
	return abi, nil
}

// landlockHandles lists the rights that the kernel's version knows: all of them are taken.
func landlockHandles(abi int) landlockRuleset {
	// Execute to make_sym are the thirteen rights of version 1.
	attr := landlockRuleset{files: unix.LANDLOCK_ACCESS_FS_MAKE_SYM<<1 - 1}
	if abi >= 2 {
		attr.files |= unix.LANDLOCK_ACCESS_FS_REFER
	}
	if abi >= 3 {
		attr.files |= unix.LANDLOCK_ACCESS_FS_TRUNCATE
	}
	if abi >= 4 {
		attr.net = unix.LANDLOCK_ACCESS_NET_BIND_TCP | unix.LANDLOCK_ACCESS_NET_CONNECT_TCP
	}
	if abi >= 5 {
		attr.files |= unix.LANDLOCK_ACCESS_FS_IOCTL_DEV
	}
	if abi >= 6 {
		attr.scoped = unix.LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET | unix.LANDLOCK_SCOPE_SIGNAL
	}
	return attr
}

// allowBeneath allows access to a file, or to what is below a directory.
func allowBeneath(rules int, path string, access uint64) error {
	fd, err := unix.Open(path, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return &os.PathError{Op: "open", Path: path, Err: err}
	}
	defer func() { _ = unix.Close(fd) }()
	attr := unix.LandlockPathBeneathAttr{Allowed_access: access, Parent_fd: int32(fd)}
	_, _, errno := unix.Syscall6(unix.SYS_LANDLOCK_ADD_RULE, uintptr(rules),
		unix.LANDLOCK_RULE_PATH_BENEATH, uintptr(unsafe.Pointer(&attr)), 0, 0, 0)
	if errno != 0 {
		return fmt.Errorf("allow %s: %w", path, errno)
	}
	return nil
}

// landlockRuleset is struct landlock_ruleset_attr as of version 6; older kernels take it as
// long as what they do not know is zero.
type landlockRuleset struct {
	files  uint64
	net    uint64
	scoped uint64
}
