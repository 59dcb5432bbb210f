package fleet

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"syscall"

	"github.com/grafos/grafos/integration/internal/disklab"
	"github.com/grafos/grafos/integration/internal/netlab"
)

// Node is a scheduler or a cell.
type Node struct {
	Name string
	Host *netlab.Host
	Disk *disklab.Disk
	// URL is a scheduler's API; "" of a cell.
	URL string
	// Log is the file that all its processes write to.
	Log string

	args []string

	mu      sync.Mutex
	process *process // guarded by mu: the newest one; nil before the first
	starts  int      // guarded by mu
}

// process is one process of a node.
type process struct {
	cmd  *exec.Cmd
	done chan struct{} // closed when it has ended and was waited for
}

// Start starts the node; it must not run. prefix is a command that is to execute the program,
// such as unshare; it must become the program, not stay beside it.
func (n *Node) Start(prefix ...string) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.process != nil && !n.process.ended() {
		return fmt.Errorf("%s runs already", n.Name)
	}
	log, err := os.OpenFile(n.Log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("open log of %s: %w", n.Name, err)
	}
	defer log.Close() //nolint:errcheck // the child has its own
	argv := append(append([]string{}, prefix...), n.args...)
	cmd := exec.Command(argv[0], argv[1:]...) //nolint:noctx // it ends when it is told to
	cmd.Stdout, cmd.Stderr = log, log
	cmd.Env = environ()
	if err := n.Host.Start(cmd); err != nil {
		return fmt.Errorf("start %s: %w", n.Name, err)
	}
	p := &process{cmd: cmd, done: make(chan struct{})}
	go func() { // ends with the process; Kill and the lab's end see to that
		defer close(p.done)
		_ = cmd.Wait() // how it ended is in its state
	}()
	n.process = p
	n.starts++
	return nil
}

func (p *process) ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

func (n *Node) newest() (*process, int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.process, n.starts
}

// Runs reports whether the node's process is there, stopped or not.
func (n *Node) Runs() bool {
	p, _ := n.newest()
	return p != nil && !p.ended()
}

// Process names the node and its newest start.
func (n *Node) Process() string {
	_, starts := n.newest()
	return fmt.Sprintf("%s#%d", n.Name, starts)
}

// PID is the newest process'.
func (n *Node) PID() int {
	p, _ := n.newest()
	return p.cmd.Process.Pid
}

// Signal sends a signal to a node that runs.
func (n *Node) Signal(sig syscall.Signal) error {
	p, _ := n.newest()
	if p == nil || p.ended() {
		return fmt.Errorf("%s does not run", n.Name)
	}
	if err := p.cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("signal %s: %w", n.Name, err)
	}
	return nil
}

// Kill ends the node as kill -9 does, and waits until the kernel has let go of it. It is no
// error when it does not run.
func (n *Node) Kill() error {
	p, _ := n.newest()
	if p == nil || p.ended() {
		return nil
	}
	if err := n.Signal(syscall.SIGKILL); err != nil {
		return err
	}
	_ = n.Disk.Thaw() // it is seldom frozen; but then the kernel would not let go of the process
	<-p.done
	return nil
}

// Ended is closed when the newest process has ended.
func (n *Node) Ended() <-chan struct{} {
	p, _ := n.newest()
	return p.done
}

// ExitCode is that of the newest process, which has ended; -1 after a signal.
func (n *Node) ExitCode() int {
	p, _ := n.newest()
	return p.cmd.ProcessState.ExitCode()
}
