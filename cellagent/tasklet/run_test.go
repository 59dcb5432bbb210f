package tasklet

import (
	"strings"
	"testing"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/cellagent/work"
)

func TestRun(t *testing.T) {
	r := open(t)
	t.Log(r.Isolation())
	tests := []struct {
		name     string
		args     []string
		change   func(*work.Job)
		state    api.RunState
		kind     api.Kind
		exit     int
		out, log string // contained
	}{
		{name: "cat", args: []string{"cat"}, change: func(j *work.Job) { j.Stdin = []byte("hello") }, state: api.RunSucceeded, out: "hello"},
		{name: "big", args: []string{"cat"}, change: func(j *work.Job) { j.Stdin = []byte(strings.Repeat("y", 3<<20)) }, state: api.RunSucceeded, out: strings.Repeat("y", 3<<20)},
		{name: "empty stdin", args: []string{"cat"}, state: api.RunSucceeded},
		{name: "args and env", args: []string{"show", "a b", ""}, change: func(j *work.Job) { j.Env = []string{"K=v=w", "E="} }, state: api.RunSucceeded, out: "guest show a b \nK=v=w E=\n"},
		{name: "no files", args: []string{"files"}, state: api.RunSucceeded, out: "true\n"},
		{name: "time", args: []string{"time"}, state: api.RunSucceeded, out: "2022-01-01 "},
		{name: "sleep", args: []string{"sleep", "20ms"}, state: api.RunSucceeded, out: "true\n"},
		{name: "exit", args: []string{"exit"}, state: api.RunFailed, kind: api.ExitNonzero, exit: 3, log: "leaving"},
		{name: "panic", args: []string{"panic"}, state: api.RunFailed, kind: api.ExitNonzero, exit: 2, log: "on purpose"},
		{name: "allocate", args: []string{"allocate"}, state: api.RunFailed, kind: api.MemoryExceeded, exit: 2},
		{name: "write", args: []string{"write"}, change: func(j *work.Job) { j.MaxOutput = 100_000 }, state: api.RunFailed, kind: api.OutputExceeded, out: strings.Repeat("x", 100_000)},
		{name: "complain", args: []string{"complain"}, change: func(j *work.Job) { j.MaxLog = 1 }, state: api.RunFailed, kind: api.OutputExceeded, log: "x"},
		{name: "recurse", args: []string{"recurse"}, state: api.RunFailed},
		{name: "loop", args: []string{"loop"}, change: soon, state: api.RunExpired, kind: api.DeadlineExceeded, out: "before\n"},
		{name: "long sleep", args: []string{"sleep", "1h"}, change: soon, state: api.RunExpired, kind: api.DeadlineExceeded},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			job := guestJob(t, tt.args...)
			if tt.change != nil {
				tt.change(&job)
			}
			got := r.Run(t.Context(), job)
			t.Logf("%s %q exit %d in %s", got.State, got.Failure, got.ExitCode, got.Duration)
			if got.State != tt.state || (tt.kind != "" && got.Failure.Kind != tt.kind) || got.ExitCode != tt.exit && tt.exit != 0 {
				t.Errorf("got %s %+v exit %d, want %s %s exit %d; log %q", got.State, got.Failure, got.ExitCode, tt.state, tt.kind, tt.exit, got.Stderr)
			}
			if !strings.Contains(string(got.Stdout), tt.out) || !strings.Contains(string(got.Stderr), tt.log) {
				t.Errorf("output %.200q log %.200q, want %.200q and %q", got.Stdout, got.Stderr, tt.out, tt.log)
			}
		})
	}
}

// soon gives a job a second from now.
func soon(j *work.Job) { j.Deadline = BootTime() + 1_000_000_000 }
