package node

import (
	"net"
	"os"
	"os/exec"
	"syscall"
	"testing"

	"github.com/grafos/grafos/api"
)

func TestFreePorts(t *testing.T) {
	ports, err := freePorts(t.Context(), 12)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[int]bool{}
	for _, p := range ports {
		if seen[p] || p < 1024 || p >= ephemeral() {
			t.Errorf("port %d is twice there, or of a range that it may not be of", p)
		}
		seen[p] = true
		l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", loopback(p))
		if err != nil {
			t.Errorf("port %d is not free: %v", p, err)
			continue
		}
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestAlive: a node is its process, not whoever has its number now, and not a zombie.
func TestAlive(t *testing.T) {
	me, err := lookProcess(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	if n := (&devNode{PID: os.Getpid(), Started: me.started}); !n.alive() {
		t.Error("this process is not alive")
	}
	if n := (&devNode{PID: os.Getpid(), Started: me.started + 1}); n.alive() {
		t.Error("another process's number is taken for the node")
	}
	if (&devNode{}).alive() {
		t.Error("a node that was never started is alive")
	}
	cmd := exec.CommandContext(t.Context(), "sleep", "60")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p, err := lookProcess(cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	n := &devNode{Name: "x", PID: cmd.Process.Pid, Started: p.started}
	// Nobody has waited for it yet when end returns: a zombie is gone.
	if err := n.end(t.Context(), syscall.SIGTERM); err != nil {
		t.Error(err)
	}
	if n.alive() {
		t.Error("a zombie is alive")
	}
	if err := n.signal(t.Context(), syscall.SIGCONT); api.KindOf(err) != api.Conflict {
		t.Errorf("a signal to a dead node: %v", err)
	}
	_ = cmd.Wait() // it was killed
}

func TestSignalOf(t *testing.T) {
	for name, want := range map[string]syscall.Signal{"KILL": syscall.SIGKILL, "sigstop": syscall.SIGSTOP, "cont": syscall.SIGCONT} {
		if got, err := signalOf(name); err != nil || got != want {
			t.Errorf("%s is %v, %v", name, got, err)
		}
	}
	if _, err := signalOf("HUP"); api.KindOf(err) != api.InvalidArgument {
		t.Errorf("HUP: %v", err)
	}
}
