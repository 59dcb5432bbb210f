package tasklet

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// groups makes one control group for each worker, in whichever hierarchies the agent may.
// The zero value makes none.
type groups struct {
	cpu, memory string // directory in which to make one; "" where the agent may not
	v2          bool   // cpu and memory are one directory
	next        atomic.Int64
}

// group is the control group of one worker.
type group struct {
	cpu, memory string
	v2          bool
	written     map[string]string // what its files say, by their names, as far as the agent wrote them

	mu     sync.Mutex
	shares int64 // guarded by mu: millicores, what its weight was set for last
	capped bool  // guarded by mu: it may have a cap
	dying  bool  // guarded by mu: it gets none any more
}

const groupPrefix = "grafos-worker-"

// openGroups finds where groups can be made and removes those of agents that died. within
// is Config.Cgroup.
func openGroups(within string) *groups {
	g := &groups{}
	mounts := readMounts()
	own := readOwnGroups()
	find := func(controller string) string {
		mount := mounts[controller]
		path, ok := own[controller]
		if mount == "" || (!ok && within == "") {
			return ""
		}
		if within != "" {
			path = "/" + within
		}
		dir := filepath.Join(mount, path)
		if (within == "" && !mayDivide(dir, path)) || unix.Access(dir, unix.W_OK) != nil {
			return ""
		}
		return dir
	}
	if dir := find(""); dir != "" && enableControllers(dir) {
		g.cpu, g.memory, g.v2 = dir, dir, true
	} else {
		g.cpu, g.memory = find("cpu"), find("memory")
	}
	g.sweep()
	return g
}

// mayDivide reports whether the agent may make groups in its own one: it is the root of
// what the agent sees, the agent's user owns it, or its manager marked it as delegated. A
// group that is some other manager's is left alone.
func mayDivide(dir, path string) bool {
	if path == "/" {
		return true
	}
	var st unix.Stat_t
	if err := unix.Stat(dir, &st); err != nil {
		return false
	}
	if st.Uid != 0 && int(st.Uid) == os.Geteuid() {
		return true
	}
	for _, name := range []string{"trusted.delegate", "user.delegate"} {
		mark := make([]byte, 8)
		if n, err := unix.Getxattr(dir, name, mark); err == nil && string(mark[:n]) == "1" {
			return true
		}
	}
	return false
}

// enableControllers makes sure that groups made in dir of a v2 hierarchy have cpu and memory.
func enableControllers(dir string) bool {
	control := filepath.Join(dir, "cgroup.subtree_control")
	has := func() bool {
		on := strings.Fields(readLine(control))
		return contains(on, "cpu") && contains(on, "memory")
	}
	if has() {
		return true
	}
	// Refused where processes live in dir itself: a service has to be given a subgroup.
	_ = os.WriteFile(control, []byte("+cpu +memory"), 0)
	return has()
}

// names lists what took hold, for Isolation.
func (g *groups) names() []string {
	var out []string
	version := "cgroup_v1_"
	if g.v2 {
		version = "cgroup_v2_"
	}
	if g.cpu != "" {
		out = append(out, version+"cpu")
	}
	if g.memory != "" {
		out = append(out, version+"memory")
	}
	return out
}

// put makes a group and moves a process into it; nil when there is none to be had.
func (g *groups) put(pid int) *group {
	name := fmt.Sprintf("%s%d-%d", groupPrefix, os.Getpid(), g.next.Add(1))
	made := &group{cpu: makeGroup(g.cpu, name, pid), memory: makeGroup(g.memory, name, pid), v2: g.v2}
	if made.cpu == "" && made.memory == "" {
		return nil
	}
	return made
}

func makeGroup(in, name string, pid int) string {
	if in == "" {
		return ""
	}
	dir := filepath.Join(in, name)
	if err := os.Mkdir(dir, 0o755); err != nil && !os.IsExist(err) {
		return ""
	}
	if err := os.WriteFile(filepath.Join(dir, "cgroup.procs"), []byte(strconv.Itoa(pid)), 0); err != nil {
		_ = os.Remove(dir)
		return ""
	}
	return dir
}

// limit sets the bytes that the group may hold.
func (g *group) limit(memory int64) {
	set := func(dir, file string, value int64) {
		if dir != "" {
			_ = os.WriteFile(filepath.Join(dir, file), []byte(strconv.FormatInt(value, 10)), 0)
		}
	}
	if g.v2 {
		set(g.memory, "memory.max", memory)
		set(g.memory, "memory.swap.max", 0)
		return
	}
	set(g.memory, "memory.limit_in_bytes", memory)
}

// outOfMemory returns how often the kernel killed in the group for want of memory.
func (g *group) outOfMemory() int64 {
	if g == nil || g.memory == "" {
		return 0
	}
	file := "memory.oom_control"
	if g.v2 {
		file = "memory.events"
	}
	text, err := os.ReadFile(filepath.Join(g.memory, file))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(text)) {
		if count, ok := strings.CutPrefix(line, "oom_kill "); ok {
			n, _ := strconv.ParseInt(strings.TrimSpace(count), 10, 64) // 0 is none seen
			return n
		}
	}
	return 0
}

// remove takes the group away; its process is gone.
func (g *group) remove() {
	for _, dir := range []string{g.cpu, g.memory} {
		if dir != "" {
			_ = os.Remove(dir) // one that stays is empty, and swept by the next Runner
		}
	}
}

// sweep removes groups of agents that are gone.
func (g *groups) sweep() {
	for _, in := range []string{g.cpu, g.memory} {
		if in == "" {
			continue
		}
		dirs, _ := filepath.Glob(filepath.Join(in, groupPrefix+"*")) // the pattern is well formed
		for _, dir := range dirs {
			agent, _, _ := strings.Cut(strings.TrimPrefix(filepath.Base(dir), groupPrefix), "-")
			if pid, err := strconv.Atoi(agent); err == nil && unix.Kill(pid, 0) != nil {
				_ = os.Remove(dir)
			}
		}
	}
}
