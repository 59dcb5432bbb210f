package tasklet

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/grafos/grafos/api"
)

// readyBound is how long a worker may take to say that it is there.
const readyBound = 20 * time.Second

// process is the agent's end of one worker. Its tenant never changes; what else is not
// marked is the pool's while the worker is idle, and the run's while it is busy.
type process struct {
	tenant    api.TenantID
	conn      *net.UnixConn
	cmd       *exec.Cmd
	last      *lastWords
	group     *group // nil where there are no control groups
	nice      int    // of all its threads
	isolation []string
	resident  []api.Digest
	idleSince time.Time
	// dead is closed when the process is reaped; what follows is set before.
	dead    chan struct{}
	err     error
	state   *os.ProcessState
	oomSeen int64 // kills of the group for want of memory, over the worker's life
}

// greet waits for the worker's first word.
func (p *process) greet() error {
	if err := p.conn.SetReadDeadline(time.Now().Add(readyBound)); err != nil {
		return fmt.Errorf("bound the worker's start: %w", err)
	}
	t, payload, err := readFrame(p.conn)
	if err != nil {
		return fmt.Errorf("hear from worker: %w", err)
	}
	var ready readyMessage
	if t != frameReady {
		return fmt.Errorf("worker begins with frame type %d", t)
	}
	if err := decodeMessage(payload, &ready); err != nil {
		return err
	}
	p.isolation = ready.Isolation
	if err := p.conn.SetReadDeadline(time.Time{}); err != nil {
		return fmt.Errorf("bound the worker's start: %w", err)
	}
	return nil
}

// wait reaps the process. It runs once, in a goroutine of the Runner.
func (p *process) wait() {
	p.err = p.cmd.Wait()
	p.state = p.cmd.ProcessState
	if p.group != nil {
		p.oomSeen = p.group.outOfMemory()
		p.group.remove()
	}
	close(p.dead)
}

// kill ends the worker and does not wait. It may be called at any time, by anybody.
func (p *process) kill() {
	select {
	case <-p.dead:
		return // its number may be another's
	default:
	}
	p.group.letGo()
	// A killed process dies when it runs the next time. An agent that may not do this waits for that.
	_ = unix.Setpriority(unix.PRIO_PGRP, p.cmd.Process.Pid, 0)
	if err := p.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		// Only a process that is not ours cannot be killed; hanging up ends it between runs.
		_ = p.conn.Close()
	}
}

// end kills the worker, waits until it is gone and hangs up. Only who owns it may: what a
// dead worker said can still be read until then.
func (p *process) end() {
	p.kill()
	<-p.dead
	_ = p.conn.Close()
}

// holds reports whether the worker has the module compiled.
func (p *process) holds(d api.Digest) bool { return slices.Contains(p.resident, d) }

// cpu returns the CPU time that the dead process used.
func (p *process) cpu() time.Duration {
	if p.state == nil {
		return 0
	}
	return p.state.UserTime() + p.state.SystemTime()
}

// limit bounds the next run: data that the process may hold beyond what it holds now, and
// the control group where there is one. Groups are best effort, the kernel's own limit is not.
func (p *process) limit(memory, overhead int64) error {
	pid := p.cmd.Process.Pid
	held, err := dataBytes(pid)
	if err != nil {
		return err
	}
	most := uint64(held + memory + overhead)
	limit := unix.Rlimit{Cur: most, Max: unix.RLIM_INFINITY}
	var now unix.Rlimit
	if err := unix.Prlimit(pid, unix.RLIMIT_DATA, nil, &now); err != nil {
		return fmt.Errorf("read data limit: %w", err)
	}
	limit.Max = now.Max
	limit.Cur = min(most, now.Max)
	if err := unix.Prlimit(pid, unix.RLIMIT_DATA, &limit, nil); err != nil {
		return fmt.Errorf("set data limit: %w", err)
	}
	if p.group != nil {
		p.group.limit(memory + overhead)
	}
	return nil
}

// dataBytes returns the writable private memory of a process, touched or not.
func dataBytes(pid int) (int64, error) {
	statm, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/statm")
	if err != nil {
		return 0, fmt.Errorf("read worker's memory: %w", err)
	}
	fields := strings.Fields(string(statm))
	if len(fields) < 6 {
		return 0, fmt.Errorf("read worker's memory: statm is %q", statm)
	}
	pages, err := strconv.ParseInt(fields[5], 10, 64)
	if err != nil {
		return 0, fmt.Errorf("read worker's memory: %w", err)
	}
	return pages * int64(os.Getpagesize()), nil
}

// lastWords keeps the beginning of what a worker says on standard error: why it died.
type lastWords struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

const maxLastWords = 2 << 10

// Write takes what fits and drops the rest.
func (l *lastWords) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.buf.Write(p[:min(len(p), maxLastWords-l.buf.Len())])
	return len(p), nil
}

func (l *lastWords) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.TrimSpace(strings.ToValidUTF8(l.buf.String(), "?"))
}
