package chaos

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/grafos/grafos/integration/internal/fleet"
)

func fillLeader(ctx context.Context, r *run, _ fault) (heal, error) {
	n, err := r.leading(ctx)
	if err != nil {
		return nil, err
	}
	return r.fill(n)
}

func fillFollower(ctx context.Context, r *run, f fault) (heal, error) {
	n, err := r.follower(ctx, f)
	if err != nil {
		return nil, err
	}
	return r.fill(n)
}

// fill leaves a scheduler no room on its disk. It may go on or end, but when it ends it says
// why; with room again it starts.
func (r *run) fill(n *fleet.Node) (heal, error) {
	mark := n.LogSize()
	if err := n.Disk.Fill(); err != nil {
		return nil, err
	}
	return func(ctx context.Context) error {
		if err := n.Disk.Free(); err != nil {
			return err
		}
		if !r.ends(ctx, n) {
			r.t.Logf("%s went on with a full disk", n.Name)
			return nil
		}
		r.says(n, mark, "no space left on device")
		return n.Start()
	}, nil
}

func fillCell(_ context.Context, r *run, f fault) (heal, error) {
	n := r.cell(f)
	if err := n.Disk.Fill(); err != nil {
		return nil, err
	}
	return func(ctx context.Context) error {
		if err := n.Disk.Free(); err != nil || n.Runs() {
			return err
		}
		r.load.book.fault("cell %s ended because its disk was full", n.Name)
		return r.restartCell(ctx, n)
	}, nil
}

// says demands that a node which ended did so with an exit code and a word.
func (r *run) says(n *fleet.Node, mark int64, words ...string) {
	log, err := n.LogSince(mark)
	if err != nil {
		r.load.book.fault("%v", err)
		return
	}
	if code := n.ExitCode(); code <= 0 {
		r.load.book.fault("%s ended with exit code %d", n.Name, code)
	}
	for _, w := range words {
		if !strings.Contains(log, w) {
			r.load.book.fault("%s ended and did not say %q:\n%s", n.Name, w, log)
		}
	}
	for line := range strings.Lines(log) {
		if text, ok := strings.CutPrefix(line, "Error: "); ok {
			r.t.Logf("%s ended with code %d: %s", n.Name, n.ExitCode(), strings.TrimSpace(text))
		}
	}
}

// traced is the command that starts a program with faults in its system calls. The tracer
// stands beside it, not above: the program is the process that was started.
func traced(inject string) []string {
	return []string{"strace", "-D", "-f", "--seccomp-bpf", "-o", "/dev/null", "-e", "trace=fdatasync,fsync", "-e", "inject=fdatasync,fsync:" + inject}
}

// slowSync gives a follower a disk that takes its time. The others must not wait for it.
func slowSync(ctx context.Context, r *run, f fault) (heal, error) {
	n, err := r.follower(ctx, f)
	if err != nil {
		return nil, err
	}
	delay := 100*time.Millisecond + time.Duration(f.rng().Int64N(int64(200*ms)))
	if err := errors.Join(n.Kill(), n.Start(traced(fmt.Sprintf("delay_enter=%d", delay.Microseconds()))...)); err != nil {
		return nil, err
	}
	return func(context.Context) error { return errors.Join(n.Kill(), n.Start()) }, nil
}

// failSync gives a scheduler a disk that refuses a sync after some. What was not synced cannot
// be trusted any more: the process must end at once, and say why.
func failSync(ctx context.Context, r *run, f fault) (heal, error) {
	n, err := r.follower(ctx, f)
	if err != nil {
		return nil, err
	}
	if f.seed%2 == 0 {
		if n, err = r.leading(ctx); err != nil {
			return nil, err
		}
	}
	mark := n.LogSize()
	if err := errors.Join(n.Kill(), n.Start(traced(fmt.Sprintf("error=EIO:when=%d+", 10+f.rng().IntN(30)))...)); err != nil {
		return nil, err
	}
	select {
	case <-n.Ended():
		r.says(n, mark, "input/output error")
		r.goesOn(ctx, n)
	case <-time.After(r.atEase(20 * time.Second)):
		r.load.book.fault("%s goes on although its disk refuses to sync", n.Name)
	case <-ctx.Done():
	}
	return func(context.Context) error { return errors.Join(n.Kill(), n.Start()) }, nil
}

// freezeLeader has every write of the leader hang. It is given up for another one, although
// its process lives and its connections are open; with its disk back it goes on, or ends and
// says why.
func freezeLeader(ctx context.Context, r *run, _ fault) (heal, error) {
	n, err := r.leading(ctx)
	if err != nil {
		return nil, err
	}
	mark := n.LogSize()
	if err := n.Disk.Freeze(); err != nil {
		return nil, err
	}
	r.goesOn(ctx, n)
	if st, err := r.leader(ctx); err == nil && st.URL == n.URL {
		r.load.book.fault("%s leads with a disk that hangs", n.Name)
	}
	return func(ctx context.Context) error {
		if err := n.Disk.Thaw(); err != nil {
			return err
		}
		if !r.ends(ctx, n) {
			return nil
		}
		r.says(n, mark)
		return n.Start()
	}, nil
}

// losePower cuts the power of one scheduler: what was not synced is lost.
func losePower(ctx context.Context, r *run, f fault) (heal, error) {
	n, err := r.leading(ctx)
	if err != nil {
		return nil, err
	}
	if f.seed%2 == 0 {
		if n, err = r.follower(ctx, f); err != nil {
			return nil, err
		}
	}
	return losePowerOf(n)
}

// loseAllPower cuts the power of every scheduler.
func loseAllPower(_ context.Context, r *run, _ fault) (heal, error) {
	return losePowerOf(r.fleet.Schedulers...)
}

func losePowerOf(nodes ...*fleet.Node) (heal, error) {
	var errs []error
	for _, n := range nodes {
		errs = append(errs, n.Disk.CutPower())
	}
	for _, n := range nodes {
		errs = append(errs, n.Kill())
	}
	return func(ctx context.Context) error {
		var errs []error
		for _, n := range nodes {
			errs = append(errs, n.Disk.Restore(ctx), n.Start())
		}
		return errors.Join(errs...)
	}, errors.Join(errs...)
}

// shiftClock starts a cell again on a host that was booted at another time: its monotonic
// clocks are far ahead, or back again.
func shiftClock(ctx context.Context, r *run, f fault) (heal, error) {
	n := r.cell(f)
	if err := n.Kill(); err != nil {
		return nil, err
	}
	ahead := fmt.Sprint(1000 + f.rng().IntN(1_000_000))
	if err := r.restartCell(ctx, n, "unshare", "-T", "--monotonic", ahead, "--boottime", ahead); err != nil {
		return nil, err
	}
	if err := r.whole(ctx); err != nil {
		return nil, err
	}
	return func(ctx context.Context) error {
		if err := n.Kill(); err != nil {
			return err
		}
		return r.restartCell(ctx, n)
	}, nil
}
