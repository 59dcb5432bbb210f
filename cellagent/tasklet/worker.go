package tasklet

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/grafos/grafos/api"
)

// The stages of a worker: it confines itself, which Linux does thread by thread, and then
// executes itself again, so that every thread of the second program is confined.
const (
	stageConfine = "confine"
	stageServe   = "serve"
)

// Memory policy of a worker: guests' memory is not on this heap, so little is collected for
// a long time, and the compiler's garbage is collected before it grows beyond the limit.
const (
	workerGCPercent   = 400
	workerMemoryLimit = 768 << 20
)

// Worker is a worker process from beginning to end; nothing else runs in it. args are what
// the Runner put behind Config.Args. It returns the exit code.
func Worker(ctx context.Context, args []string) int {
	if err := serve(ctx, args); err != nil {
		// Standard error is a pipe to the agent's log.
		_, _ = io.WriteString(os.Stderr, "tasklet worker: "+err.Error()+"\n")
		return 1
	}
	return 0
}

// serve reads the arguments: stage, pid of the agent, cache directory, what confines so far.
func serve(ctx context.Context, args []string) error {
	if len(args) != 4 {
		return errors.New("it is started by the cell agent, not by hand")
	}
	parent, err := strconv.Atoi(args[1])
	if err != nil || parent <= 0 {
		return fmt.Errorf("parent %q is no process id", args[1])
	}
	switch args[0] {
	case stageConfine:
		return confine(parent, args[2])
	case stageServe:
		return serveAs(ctx, parent, args[2], strings.Split(args[3], ","))
	}
	return fmt.Errorf("stage %q is unknown", args[0])
}

// serveAs is the second stage: the last locks, then jobs until the agent hangs up.
func serveAs(ctx context.Context, parent int, dir string, isolation []string) error {
	if os.Getppid() != parent {
		return errors.New("the agent has gone")
	}
	debug.SetGCPercent(workerGCPercent)
	debug.SetMemoryLimit(workerMemoryLimit)
	deadline, err := newDeadlineTimer()
	if err != nil {
		return err
	}
	cpu, err := newCPUTimer()
	if err != nil {
		return err
	}
	engine, err := openEngine(ctx, dir)
	if err != nil {
		return err
	}
	isolation = append(isolation, lockDown()...)
	w := &worker{conn: os.NewFile(0, "agent"), engine: engine, term: &term{timer: deadline}, cpu: cpu}
	if err := writeMessage(w.conn, frameReady, readyMessage{Pid: os.Getpid(), Isolation: isolation}); err != nil {
		return err
	}
	return w.serve(ctx)
}

// worker is the child's end of the socket and what it runs guests with.
type worker struct {
	conn   io.ReadWriter
	engine *engine
	term   *term
	cpu    killTimer
	frames <-chan downward // what the agent sends, notices aside
}

// downward is a frame of the agent's, or why there is none.
type downward struct {
	t       frameType
	payload []byte
	err     error
}

// listen reads what the agent sends until it hangs up or ctx ends. A job arms the timer of its deadline
// before anything of the tenant's is looked at, and notices take effect at once, also while a guest
// runs; everything else waits for whoever expects it.
func (w *worker) listen(ctx context.Context) <-chan downward {
	frames := make(chan downward)
	go func() { // it ends with the connection, which the agent closes at the latest
		for {
			t, payload, err := readFrame(w.conn)
			switch {
			case err != nil:
			case t == frameJob:
				err = w.term.begin(payload)
			case t == frameNotice:
				if err = w.term.take(payload); err == nil {
					continue
				}
			}
			select {
			case frames <- downward{t, payload, err}:
			case <-ctx.Done():
				return
			}
			if err != nil {
				return
			}
		}
	}()
	return frames
}

// serve takes one job after the other. The agent hanging up between two is the ordinary end.
func (w *worker) serve(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	w.frames = w.listen(ctx)
	for {
		job, module, stdin, err := w.receive()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		done, err := w.do(ctx, job, module, stdin)
		if err != nil {
			return err
		}
		done.Resident = w.engine.digests()
		if err := writeMessage(w.conn, frameDone, done); err != nil {
			return err
		}
		if len(module) > 0 {
			debug.FreeOSMemory() // the compiler's; the agent has its answer already
		}
	}
}

// receive reads a job and the frames that it announces.
func (w *worker) receive() (job jobMessage, module, stdin []byte, err error) {
	payload, err := w.expect(frameJob)
	if err != nil {
		return job, nil, nil, err
	}
	if err := decodeMessage(payload, &job); err != nil {
		return job, nil, nil, err
	}
	if job.SendModule {
		if module, err = w.expect(frameModule); err != nil {
			return job, nil, nil, err
		}
	}
	if job.SendStdin {
		stdin, err = w.expect(frameStdin)
	}
	return job, module, stdin, err
}

func (w *worker) expect(want frameType) ([]byte, error) {
	f := <-w.frames
	if f.err != nil {
		return nil, f.err
	}
	if f.t != want {
		return nil, fmt.Errorf("agent sent frame type %d instead of %d", f.t, want)
	}
	return f.payload, nil
}

// do compiles and runs. The deadline's timer is disarmed when nothing of the tenant's runs any more.
func (w *worker) do(ctx context.Context, job jobMessage, module, stdin []byte) (done doneMessage, err error) {
	defer func() { err = errors.Join(err, w.term.end()) }()

	m, ok := w.engine.find(job.Module)
	if !ok {
		var f *api.Failure
		if m, f, err = w.load(ctx, job, module); f != nil || err != nil {
			return refused(f), err
		}
	}
	if job.Prepare {
		return doneMessage{State: api.RunSucceeded, Clean: true}, nil
	}
	if f := m.traits.exceeds(job.Memory); f != nil {
		return refused(f), nil
	}
	if err := writeFrame(w.conn, frameCompiled, nil); err != nil {
		return done, err
	}
	return w.engine.runGuest(withRunning(ctx, &running{
		term: w.term, up: w.conn, replies: func() ([]byte, error) { return w.expect(frameReply) },
	}), m.code, job, stdin, w.conn)
}

// refused is the end of a run of which no guest code was entered.
func refused(f *api.Failure) doneMessage {
	if f == nil {
		return doneMessage{}
	}
	return doneMessage{State: api.RunFailed, Failure: *f, Clean: true}
}

// load checks, compiles and keeps a module. The failure is the module's, the error the worker's.
func (w *worker) load(ctx context.Context, job jobMessage, module []byte) (m residentModule, f *api.Failure, err error) {
	if got := api.DigestOf(sha256.Sum256(module)); got != job.Module {
		return m, &api.Failure{Kind: api.DigestMismatch, Message: fmt.Sprintf("module is %s instead of %s", got, job.Module)}, nil
	}
	m.digest = job.Module
	if m.traits, err = inspect(module); err != nil {
		return m, invalid(err), nil
	}
	if f := m.traits.exceeds(job.Memory); f != nil && !job.Prepare {
		return m, f, nil
	}
	if err := w.cpu.in(time.Duration(job.CompileCPU)); err != nil {
		return m, nil, err
	}
	code, bad := w.engine.compile(ctx, module)
	if err := w.cpu.disarm(); err != nil {
		return m, nil, err
	}
	if bad != nil {
		return m, invalid(bad), nil
	}
	m.code = code
	return m, nil, w.engine.keep(ctx, m)
}

func invalid(err error) *api.Failure {
	return &api.Failure{Kind: api.InvalidModule, Message: clip(err.Error(), maxFailureMessage)}
}
