package tasklet

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/cellagent/work"
)

// execution is one job on one worker, seen from the agent.
type execution struct {
	runner  *Runner
	process *process
	job     work.Job
	prepare bool

	compile  time.Duration // CPU time that compiling may take; 0 when nothing is compiled
	oomKills int64         // of the worker's group, before
	used     time.Duration // CPU time of the worker, before
	tier     api.CPUTier   // how the run's share is kept
	sent     time.Time     // when the job was sent
	deadline int64         // the one that was sent with it
	started  time.Time     // when guest code was entered, as far as the agent heard; zero before
	out      work.Outcome
	caller   *caller
	unlock   func() // lets others compile the module; harmless when called again
	// undelivered says that the worker died before the job was in its hands.
	undelivered bool
}

// do sends the job, takes what comes back, and says whether the worker is fit for another.
// Nothing that a worker says is trusted further than its own run.
func (e *execution) do(ctx context.Context) (out work.Outcome, fit bool) {
	p := e.process
	stop := context.AfterFunc(ctx, p.kill)
	defer stop()
	defer func() {
		out.Stdout, out.Stderr, out.Checkpoint = e.out.Stdout, e.out.Stderr, e.out.Checkpoint
		out.CPU, out.CPUTier = max(p.cpuTime()-e.used, 0), e.tier
	}()

	file, message, failure := e.prepareSend()
	if failure != nil {
		return work.Failed(*failure), stop() && p.freshen()
	}
	e.unlock = func() {}
	if file != nil {
		defer func() { _ = file.Close() }() // it was only read
		// Two workers that compile one module at once do the same work twice.
		unlock, err := e.runner.compiling.lock(ctx, string(e.job.Tenant)+"\x00"+string(e.job.Module))
		if err != nil {
			return ended(ctx, err), false
		}
		e.unlock = sync.OnceFunc(unlock)
		defer e.unlock()
	}
	e.sent = time.Now()
	e.deadline, _, _ = e.job.Word.Now() // it may have moved while the run waited for its turn
	message.Deadline = e.deadline
	if err := e.send(message, file); err != nil {
		return e.lose(ctx, err, file == nil), false
	}
	done, err := e.converse(ctx)
	if err != nil {
		return e.lose(ctx, err, file == nil), false
	}
	p.resident = done.Resident
	out = work.Outcome{State: done.State, ExitCode: done.ExitCode, Failure: done.Failure}
	out.Duration = min(max(time.Duration(done.Duration), 0), time.Since(e.sent))
	// A kill that has begun cannot be called back: the result stands, the worker does not.
	return out, stop() && done.Clean && p.freshen()
}

// converse hears the worker out, tells it what changes and makes its guest's calls, until the run is
// done. A worker that fails in it is killed.
func (e *execution) converse(ctx context.Context) (done doneMessage, err error) {
	e.caller = &caller{net: e.job.Net, conn: e.process.conn}
	hush := e.talk(ctx)
	done, err = e.receive(ctx)
	if err == nil && e.caller.busy() {
		err = errors.New("worker is done with a call under way")
	}
	if err != nil {
		e.process.kill() // nobody waits for one that does not listen
	}
	hush()
	e.caller.stop()
	return done, err
}

// lose ends a worker that err says is lost, and finds out why. One that was warm and never said
// that it enters guest code may have been dead before it got the job.
func (e *execution) lose(ctx context.Context, err error, warm bool) work.Outcome {
	e.process.end()
	e.undelivered = warm && e.started.IsZero()
	return e.death(ctx, err)
}

// prepareSend bounds the worker for this run and opens the module where the worker
// has not got it compiled. The deadline is set when the job is sent.
func (e *execution) prepareSend() (*os.File, jobMessage, *api.Failure) {
	j := e.job
	m := jobMessage{
		Name: j.Name, Module: j.Module, SendStdin: len(j.Stdin) > 0, Prepare: e.prepare, Args: j.Args, Env: j.Env,
		Memory: j.Memory, Procs: procsOf(j.CPU), MaxOutput: j.MaxOutput, MaxLog: j.MaxLog,
	}
	if err := e.process.limit(j.Memory, e.runner.config.Overhead); err != nil {
		// Only a worker that is dead has no limits; sending tells.
		e.runner.log(e.process).Debug("worker is not limited", "error", err)
	}
	e.used, e.tier = e.process.cpuTime(), e.process.shareCPU(j)
	e.oomKills = e.process.group.outOfMemory()
	if e.process.holds(j.Module) {
		return nil, m, nil
	}
	file, err := os.Open(j.ModulePath)
	if err != nil {
		return nil, m, &api.Failure{Kind: api.Internal, Message: fmt.Sprintf("open module: %v", err)}
	}
	info, err := file.Stat()
	if err != nil || info.Size() > maxModule {
		_ = file.Close()
		if err != nil {
			return nil, m, &api.Failure{Kind: api.Internal, Message: fmt.Sprintf("measure module: %v", err)}
		}
		return nil, m, &api.Failure{
			Kind:    api.InvalidModule,
			Message: fmt.Sprintf("module has %d bytes: at most %d", info.Size(), maxModule),
		}
	}
	e.compile = e.runner.config.compileBudget(info.Size())
	m.SendModule, m.CompileCPU = true, int64(e.compile)
	return file, m, nil
}

// send writes the job and what belongs to it. The module goes from the file to the socket;
// the agent never holds it.
func (e *execution) send(m jobMessage, module *os.File) error {
	conn := e.process.conn
	if err := writeMessage(conn, frameJob, m); err != nil {
		return err
	}
	if module != nil {
		info, err := module.Stat()
		if err != nil {
			return fmt.Errorf("measure module: %w", err)
		}
		h, err := header(frameModule, info.Size())
		if err != nil {
			return err
		}
		if _, err := conn.Write(h[:]); err != nil {
			return err
		}
		if _, err := io.CopyN(conn, module, info.Size()); err != nil {
			return fmt.Errorf("send module: %w", err)
		}
	}
	if len(e.job.Stdin) > 0 {
		return writeFrame(conn, frameStdin, e.job.Stdin)
	}
	return nil
}

// receive collects output until the run is done.
func (e *execution) receive(ctx context.Context) (done doneMessage, err error) {
	for {
		t, payload, err := readFrame(e.process.conn)
		if err != nil {
			return done, err
		}
		switch t {
		case frameCompiled:
			if e.started.IsZero() {
				e.tier = e.process.capCPU(e.job, e.tier)
			}
			e.started = time.Now()
			e.unlock()
		case frameStdout:
			e.out.Stdout, err = appendBounded(e.out.Stdout, payload, e.job.MaxOutput)
		case frameStderr:
			e.out.Stderr, err = appendBounded(e.out.Stderr, payload, e.job.MaxLog)
		case frameSaved:
			err = e.saved(payload)
		case frameCall:
			err = e.caller.take(ctx, payload)
		case frameDone:
			if err := decodeMessage(payload, &done); err != nil {
				return done, err
			}
			return done, done.check()
		case frameJob, frameModule, frameStdin, frameReady, frameNotice, frameReply:
			err = fmt.Errorf("worker sent frame type %d", t)
		}
		if err != nil {
			return done, err
		}
	}
}

// talk tells the worker what changes while it runs, until the returned function is called; that
// waits for the last word to be out, or for the worker to be gone.
func (e *execution) talk(ctx context.Context) (hush func()) {
	ctx, cancel := context.WithCancel(ctx)
	var speaker sync.WaitGroup
	speaker.Go(func() {
		told := noticeMessage{Deadline: e.deadline}
		for {
			deadline, warned, changed := e.job.Word.Now()
			if now := (noticeMessage{Deadline: deadline, Warned: warned}); now != told {
				told = now
				if err := writeMessage(e.process.conn, frameNotice, now); err != nil {
					return // the worker is gone, as receive finds out
				}
			}
			select {
			case <-changed:
			case <-ctx.Done():
				return
			}
		}
	})
	return func() {
		cancel()
		speaker.Wait()
	}
}

// saved takes a guest's checkpoint, which there is one of, and none before its end was announced.
func (e *execution) saved(payload []byte) error {
	if _, warned, _ := e.job.Word.Now(); warned == 0 || e.out.Checkpoint != nil {
		return errors.New("worker sent a checkpoint that nobody asked for")
	}
	e.out.Checkpoint = append([]byte{}, payload...)
	if e.job.Saved != nil {
		e.job.Saved()
	}
	return nil
}

// appendBounded holds a worker to the cap that it was told.
func appendBounded(to, more []byte, limit int64) ([]byte, error) {
	if int64(len(to))+int64(len(more)) > limit {
		return to, fmt.Errorf("worker sent more than %d bytes of output", limit)
	}
	return append(to, more...), nil
}

// duration is for how long a guest ran that did not say so itself.
func (e *execution) duration() time.Duration {
	if e.started.IsZero() {
		return 0
	}
	return time.Since(e.started)
}
