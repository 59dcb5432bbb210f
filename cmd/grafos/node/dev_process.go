package node

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/grafos/grafos/api"
)

// devNode is one process of the cluster.
type devNode struct {
	Name string `json:"name"`
	PID  int    `json:"pid"`
	// Started is the process's start time in the kernel's clock ticks: with it, a pid that
	// was given to another process is not taken for the node.
	Started uint64   `json:"started"`
	URL     string   `json:"url,omitempty"`
	Args    []string `json:"args"`
	// Offer is the flags of what a cell offers in place of what the host has.
	Offer []string `json:"offer,omitempty"`
	Log   string   `json:"log"`
}

// start runs the node detached from this process and its terminal.
func (n *devNode) start(d *dev) error {
	exe, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find this program: %w", err)
	}
	log, err := os.OpenFile(d.path(n.Log), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("open log of %s: %w", n.Name, err)
	}
	defer func() { _ = log.Close() }()                          // the child has its own copy
	cmd := exec.Command(exe, slices.Concat(n.Args, n.Offer)...) //nolint:noctx // it outlives this command
	cmd.Stdout, cmd.Stderr, cmd.Dir = log, log, d.dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	cmd.Env = nodeEnv()
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", n.Name, err)
	}
	n.PID = cmd.Process.Pid
	p, err := lookProcess(n.PID)
	if err != nil {
		return fmt.Errorf("start %s: %w", n.Name, err)
	}
	n.Started = p.started
	return cmd.Process.Release()
}

// nodeEnv keeps this shell's GRAFOS_ settings from the nodes.
func nodeEnv() []string {
	var env []string
	for _, kv := range os.Environ() {
		if !strings.HasPrefix(kv, "GRAFOS_") {
			env = append(env, kv)
		}
	}
	return env
}

// alive reports whether the node's process runs (or is stopped).
func (n *devNode) alive() bool {
	if n.PID == 0 {
		return false
	}
	p, err := lookProcess(n.PID)
	if err != nil || p.started != n.Started {
		return false
	}
	return p.state != 'Z' && p.state != 'X' || hasThreads(n.PID)
}

// hasThreads reports whether threads of a process whose first one is a zombie still run:
// until the last has ended, the process holds its files, locks and ports.
func hasThreads(pid int) bool {
	tasks, err := os.ReadDir("/proc/" + strconv.Itoa(pid) + "/task")
	return err == nil && len(tasks) > 1
}

const (
	killTime = 5 * time.Second
	killLook = 5 * time.Millisecond
)

// signal sends sig to a node that runs; after KILL it waits until the process is gone.
func (n *devNode) signal(ctx context.Context, sig syscall.Signal) error {
	if !n.alive() {
		return api.Refuse(api.Conflict, "%s does not run", n.Name).WithHint("start it: grafos dev restart %s", n.Name)
	}
	if err := syscall.Kill(n.PID, sig); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("signal %s: %w", n.Name, err)
	}
	if sig == syscall.SIGKILL {
		return n.gone(ctx, killTime)
	}
	return nil
}

func (n *devNode) gone(ctx context.Context, d time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	for n.alive() {
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s (pid %d) is still there after %s", n.Name, n.PID, d)
		case <-time.After(killLook):
		}
	}
	return nil
}

// end stops a node: politely first when sig is not KILL, and surely.
func (n *devNode) end(ctx context.Context, sig syscall.Signal) error {
	if !n.alive() {
		return nil
	}
	// A stopped process hears nothing but KILL.
	_ = syscall.Kill(n.PID, syscall.SIGCONT)
	if sig != syscall.SIGKILL {
		if err := syscall.Kill(n.PID, sig); err == nil && n.gone(ctx, killTime) == nil {
			return nil
		}
	}
	if err := syscall.Kill(n.PID, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("kill %s: %w", n.Name, err)
	}
	return n.gone(context.WithoutCancel(ctx), killTime)
}

// endedEarly says of a node that did not stay up what it said last.
func (n *devNode) endedEarly(d *dev, what string) error {
	text := what + " " + n.Name + " ended while it started"
	if last := lastError(d.path(n.Log)); last != "" {
		text += ": " + last
	}
	return api.Refuse(api.Conflict, "%s", text).WithHint("look into its log: %s", d.path(n.Log))
}

// lastError is the last error line near the end of a log, or "".
func lastError(path string) string {
	const tail = 4 << 10
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer func() { _ = f.Close() }() // it is only read
	if info, err := f.Stat(); err == nil && info.Size() > tail {
		if _, err := f.Seek(-tail, io.SeekEnd); err != nil {
			return ""
		}
	}
	b, err := io.ReadAll(io.LimitReader(f, tail))
	if err != nil {
		return ""
	}
	last := ""
	for line := range strings.Lines(string(b)) {
		if text, ok := strings.CutPrefix(line, "Error: "); ok {
			last = strings.TrimSpace(text)
		}
	}
	return last
}

type process struct {
	state   byte
	started uint64
}

// lookProcess reads what the kernel says of a process (proc_pid_stat(5)).
func lookProcess(pid int) (process, error) {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return process{}, err
	}
	// The command's name stands in brackets and may hold anything.
	end := bytes.LastIndexByte(b, ')')
	fields := bytes.Fields(b[end+1:])
	const state, started = 0, 19
	if end < 0 || len(fields) <= started {
		return process{}, fmt.Errorf("/proc/%d/stat has %d fields", pid, len(fields))
	}
	n, err := strconv.ParseUint(string(fields[started]), 10, 64)
	if err != nil {
		return process{}, fmt.Errorf("/proc/%d/stat: %w", pid, err)
	}
	return process{state: fields[state][0], started: n}, nil
}
