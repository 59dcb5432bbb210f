package tasklet

import (
	"os"
	"testing"
	"time"

	"github.com/grafos/grafos/api"
)

// lie is a worker that was taken over: it answers its first job with whatever harms an agent
// that believes it.
func lie(mode string) int {
	conn := os.NewFile(0, "agent")
	if writeMessage(conn, frameReady, readyMessage{Pid: 1}) != nil {
		return 1
	}
	if _, _, err := readFrame(conn); err != nil {
		return 0 // the probe of Open
	}
	var err error
	switch mode {
	case "flood":
		for err == nil {
			err = writeFrame(conn, frameStdout, make([]byte, maxPiece))
		}
	case "garbage":
		_, err = conn.Write([]byte("HTTP/1.1 200 OK\r\n\r\n"))
	case "state":
		err = writeMessage(conn, frameDone, doneMessage{State: api.RunRevoked})
	case "down":
		err = writeFrame(conn, frameStdin, []byte("x"))
	case "resident":
		err = writeMessage(conn, frameDone, doneMessage{State: api.RunSucceeded, Resident: make([]api.Digest, maxResident+1)})
	case "duration":
		err = writeMessage(conn, frameDone, doneMessage{State: api.RunSucceeded, Duration: int64(time.Hour)})
	case "mute":
		select {}
	}
	_, _, _ = readFrame(conn) // wait for the agent to hang up
	if err != nil {
		return 1
	}
	return 0
}

// TestLiar proves that the agent believes a worker nothing but its own run's result.
func TestLiar(t *testing.T) {
	for mode, want := range map[string]api.RunState{
		"flood": api.RunFailed, "garbage": api.RunFailed, "state": api.RunFailed, "down": api.RunFailed,
		"resident": api.RunFailed, "duration": api.RunSucceeded, "mute": api.RunExpired,
	} {
		t.Run(mode, func(t *testing.T) {
			r := open(t, func(c *Config) { c.Exe, c.Args = os.Args[0], []string{"test-liar", mode} })
			j := moduleJob(t, module{}.bytes())
			soon(&j)
			start := time.Now()
			out := r.Run(t.Context(), j)
			t.Logf("%s %+v", out.State, out.Failure)
			if out.State != want || int64(len(out.Stdout)) > api.MaxOutputBytes || out.Duration > time.Since(start) {
				t.Errorf("got %s with %d bytes in %s, want %s", out.State, len(out.Stdout), out.Duration, want)
			}
			if want == api.RunFailed && (out.Failure.Kind != api.WorkerLost || r.workers() != 0) {
				t.Errorf("got %+v with %d workers left", out.Failure, r.workers())
			}
		})
	}
}

// TestOneTenant proves that a warm worker waits for its own tenant, and makes room for another
// only by dying.
func TestOneTenant(t *testing.T) {
	r := open(t, func(c *Config) { c.MaxWorkers = 2 })
	pids := map[api.TenantID]int{}
	run := func(tenant api.TenantID) int {
		t.Helper()
		j := moduleJob(t, module{}.bytes())
		j.Tenant = tenant
		if out := r.Run(t.Context(), j); out.State != api.RunSucceeded {
			t.Fatalf("%s %+v", out.State, out.Failure)
		}
		last := r.idle[len(r.idle)-1]
		if last.tenant != tenant {
			t.Fatalf("tenant %s was served by a worker of %s", tenant, last.tenant)
		}
		return last.cmd.Process.Pid
	}
	for _, tenant := range []api.TenantID{"a", "b"} {
		pids[tenant] = run(tenant)
	}
	if again := run("a"); again != pids["a"] || pids["a"] == pids["b"] {
		t.Errorf("workers are %v, and %d the second time", pids, again)
	}
	third := run("c") // evicts b's, the longest idle
	if third == pids["a"] || third == pids["b"] || !gone(pids["b"]) || gone(pids["a"]) {
		t.Errorf("workers were %v; c runs in %d", pids, third)
	}
}
