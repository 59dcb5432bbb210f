package tasklet

import (
	"context"
	"errors"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/cellagent/work"
)

// TestAnnouncedEnd: a guest hears that its end was announced, whether that was before it began or
// while it runs, and what it hands over is there, once, when it is ended for it.
func TestAnnouncedEnd(t *testing.T) {
	r := open(t)
	for _, early := range []bool{true, false} {
		j := guestJob(t, "wait", "where I was")
		j.Word = work.NewWord(j.Deadline)
		force := BootTime() + int64(30*time.Second)
		ctx, cancel := context.WithCancelCause(t.Context())
		defer cancel(nil)
		j.Saved = func() { cancel(api.Refuse(api.LeaseRevoked, "it has said all it had to")) }
		if early {
			j.Word.Warn(force)
		} else {
			warm := guestJob(t, "show") // so that the guest is entered soon
			if out := r.Run(t.Context(), warm); out.State != api.RunSucceeded {
				t.Fatalf("%+v", out)
			}
			warn := time.AfterFunc(200*time.Millisecond, func() { j.Word.Warn(force) })
			defer warn.Stop()
		}
		out := r.Run(ctx, j)
		if out.State != api.RunRevoked || string(out.Checkpoint) != "where I was" {
			t.Errorf("early %v: %s %+v, handed over %q", early, out.State, out.Failure, out.Checkpoint)
		}
		if !early && !strings.HasPrefix(string(out.Stdout), "waiting -1 true\n") {
			t.Errorf("it said %q", out.Stdout)
		}
	}
}

// TestCheckpointNobodyAskedFor is refused to the guest, which goes on.
func TestCheckpointNobodyAskedFor(t *testing.T) {
	out := open(t).Run(t.Context(), guestJob(t, "early"))
	if out.State != api.RunSucceeded || string(out.Stdout) != "-5 true\n" || out.Checkpoint != nil {
		t.Errorf("%s %q, handed over %q", out.State, out.Stdout, out.Checkpoint)
	}
}

// TestDeadlineMoves: a run whose leases are renewed goes on beyond the deadline that it began with,
// and ends at the new one.
func TestDeadlineMoves(t *testing.T) {
	r := open(t)
	if out := r.Run(t.Context(), guestJob(t, "show")); out.State != api.RunSucceeded {
		t.Fatalf("%+v", out)
	}
	for _, further := range []time.Duration{0, 2 * time.Second} {
		j := guestJob(t, "loop")
		began := BootTime()
		j.Deadline = began + int64(time.Second)
		j.Word = work.NewWord(j.Deadline)
		j.Word.Extend(j.Deadline + int64(further))
		j.Word.Extend(j.Deadline) // never back
		out := r.Run(t.Context(), j)
		took := time.Duration(BootTime() - began)
		if out.State != api.RunExpired || took < time.Second+further || took > time.Second+further+api.TeardownBound {
			t.Errorf("%s after %s, with a deadline after %s: %+v", out.State, took, time.Second+further, out.Failure)
		}
	}
}

// TestDeadlineMovedBefore: a run that was renewed while it waited for its blobs or its turn begins
// with the deadline that it has then, not with the first one, which may have passed.
func TestDeadlineMovedBefore(t *testing.T) {
	j := guestJob(t, "show")
	j.Word = work.NewWord(j.Deadline)
	j.Deadline = BootTime() - int64(time.Second)
	if out := open(t).Run(t.Context(), j); out.State != api.RunSucceeded {
		t.Errorf("%s %+v", out.State, out.Failure)
	}
}

// TestKilledBeforeItsDeadline: a worker that is killed after the deadline that its run began with, and
// before the one that it has, is lost.
func TestKilledBeforeItsDeadline(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), "sleep", "60")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	state, err := cmd.Process.Wait()
	if err != nil {
		t.Fatal(err)
	}
	now := BootTime()
	for end, want := range map[int64]api.RunState{now + int64(time.Minute): api.RunFailed, now: api.RunExpired} {
		e := execution{process: &process{state: state, last: &lastWords{}}, job: work.Job{Deadline: now - 1, Word: work.NewWord(end)}}
		if out := e.death(t.Context(), errors.New("gone")); out.State != want {
			t.Errorf("with %s left it is %s, want %s: %+v", time.Duration(end-now), out.State, want, out.Failure)
		}
	}
}

// TestLateNotice: what is told when no guest runs arms nothing.
func TestLateNotice(t *testing.T) {
	timer, err := newDeadlineTimer()
	if err != nil {
		t.Fatal(err)
	}
	term := &term{timer: timer}
	if err := term.take([]byte(`{"deadline":1,"warned":1}`)); err != nil { // armed, it would kill this process
		t.Fatal(err)
	}
	if deadline, warned := term.now(); deadline != 0 || warned != 0 || term.save() {
		t.Errorf("deadline %d, warned %d", deadline, warned)
	}
	if err := term.take([]byte(`{"deadline":1,"more":1}`)); err == nil {
		t.Error("an unknown notice was taken")
	}
}

// TestUninvitedCheckpoint: a worker that sends one although nobody asked for it is a liar.
func TestUninvitedCheckpoint(t *testing.T) {
	e := execution{job: work.Job{Word: work.NewWord(1)}}
	if err := e.saved([]byte("x")); err == nil || e.out.Checkpoint != nil {
		t.Error("it was taken")
	}
	e.job.Word.Warn(1)
	if err := errors.Join(e.saved(nil)); err != nil || e.out.Checkpoint == nil {
		t.Errorf("an empty one: %v, %v", err, e.out.Checkpoint)
	}
	if err := e.saved([]byte("x")); err == nil {
		t.Error("a second one was taken")
	}
}
