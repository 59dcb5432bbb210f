package tasklet

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"golang.org/x/sys/unix"

	"github.com/grafos/grafos/api"
)

// testAgent is an agent in a process of its own: it prepares a module, says so with the
// deadline, and runs it. args: directory, module path, digest, milliseconds to live, worker.
func testAgent(args []string) int {
	ctx := context.Background()
	c := Config{Exe: args[4], Dir: filepath.Join(args[0], "cache"), Log: hclog.NewNullLogger()}
	r, err := Open(ctx, c)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = r.Close() }()
	b := built{path: args[1], digest: api.Digest(args[2])}
	if err := r.Prepare(ctx, "acme", b.digest, b.path); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	ms, err := strconv.ParseInt(args[3], 10, 64)
	if err != nil {
		return 1
	}
	j := job(b, "loop")
	j.Deadline = BootTime() + ms*int64(time.Millisecond)
	fmt.Println(r.idle[0].cmd.Process.Pid, j.Deadline)
	fmt.Println(r.Run(ctx, j).State)
	return 0
}

// agentProcess starts testAgent and returns once its guest burns CPU in the worker.
func agentProcess(t *testing.T, life time.Duration) (agent *exec.Cmd, worker int, deadline int64) {
	t.Helper()
	g := buildGuest()
	if g.err != nil {
		t.Fatal(g.err)
	}
	agent = exec.Command(os.Args[0], "test-agent", t.TempDir(), g.path, string(g.digest), strconv.FormatInt(life.Milliseconds(), 10), workerExe())
	agent.Stderr = os.Stderr
	out, err := agent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := agent.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = agent.Process.Signal(unix.SIGCONT)
		_ = agent.Process.Kill()
		_ = agent.Wait()
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("agent says nothing: %v", err)
	}
	if _, err := fmt.Sscan(line, &worker, &deadline); err != nil {
		t.Fatalf("agent says %q: %v", line, err)
	}
	before, _ := procStat(worker)
	await(t, "the guest burns CPU", 10*time.Second, func() bool {
		now, state := procStat(worker)
		return state != "" && now >= before+10 // ticks of 10 ms
	})
	return agent, worker, deadline
}

// procStat returns the CPU ticks and the state letter of a process; "" when there is none.
func procStat(pid int) (ticks int64, state string) {
	text, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return 0, ""
	}
	_, rest, _ := strings.Cut(string(text), ") ")
	f := strings.Fields(rest)
	user, _ := strconv.ParseInt(f[11], 10, 64)
	system, _ := strconv.ParseInt(f[12], 10, 64)
	return user + system, f[0]
}

// gone reports whether a process runs no more: reaped, or dead and waiting for a stopped parent.
func gone(pid int) bool {
	_, state := procStat(pid)
	return state == "" || state == "Z" || state == "X"
}

// await polls: what it waits for is another process, which tells nobody.
func await(t *testing.T, what string, most time.Duration, done func() bool) {
	t.Helper()
	for end := time.Now().Add(most); ; {
		if done() {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("waited %s in vain: %s", most, what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// TestStoppedAgent proves L6 where the agent cannot help: the kernel ends the guest at the
// deadline although the agent's every thread is stopped, and within 100 ms: a tight loop has no say in
// it. How busy the machine is shows in how late this test itself is woken.
func TestStoppedAgent(t *testing.T) {
	agent, worker, deadline := agentProcess(t, 2*time.Second)
	if err := agent.Process.Signal(unix.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	await(t, "the agent stops", time.Second, func() bool {
		_, state := procStat(agent.Process.Pid)
		return state == "T"
	})
	if BootTime() >= deadline || gone(worker) {
		t.Fatalf("the deadline passed before the agent was stopped: the test proves nothing")
	}
	left := time.Duration(deadline - BootTime())
	busy := lateness(left + 100*time.Millisecond)
	await(t, "the guest is gone a second after its deadline", left+time.Second, func() bool { return gone(worker) })
	late := time.Duration(BootTime() - deadline)
	if _, state := procStat(agent.Process.Pid); state != "T" {
		t.Errorf("the agent is in state %s, not stopped", state)
	}
	if late < 0 {
		t.Errorf("the guest ended %s before its deadline", -late)
	}
	if slack := 4 * busy(); late > loopLate+slack {
		t.Errorf("gone %s after the deadline, want within %s and what this machine is late by, %s", late, loopLate, slack)
	}
	t.Logf("gone %s after the deadline", late)
}

// loopLate is how long after its lease's end a tasklet in a tight loop may be there.
const loopLate = 100 * time.Millisecond

// lateness measures for d how late a plain timer is at most, and returns what waits for the answer.
func lateness(d time.Duration) func() time.Duration {
	worst := make(chan time.Duration, 1)
	go func() {
		most := time.Duration(0)
		for end := time.Now().Add(d); time.Now().Before(end); {
			at := time.Now()
			time.Sleep(5 * time.Millisecond)
			most = max(most, time.Since(at)-5*time.Millisecond)
		}
		worst <- most
	}()
	return func() time.Duration { return <-worst }
}

// TestKilledAgent proves that a guest does not outlive its agent.
func TestKilledAgent(t *testing.T) {
	agent, worker, _ := agentProcess(t, time.Minute)
	start := time.Now()
	if err := agent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	await(t, "the guest dies with the agent", time.Second, func() bool { return gone(worker) })
	t.Logf("gone %s after the agent", time.Since(start))
}

// childrenOf lists the worker processes of this test.
func childrenOf(t *testing.T) []int {
	t.Helper()
	var pids []int
	tasks, _ := filepath.Glob("/proc/self/task/*/children")
	for _, file := range tasks {
		text, err := os.ReadFile(file)
		if err != nil {
			continue // the thread ended
		}
		for f := range strings.FieldsSeq(string(text)) {
			pid, err := strconv.Atoi(f)
			if err == nil && !gone(pid) {
				pids = append(pids, pid)
			}
		}
	}
	return pids
}
