// Package child runs the processes that a benchmark measures and talks to them in lines of
// JSON: requests on their standard input, answers, in any order, on their standard output.
// A child ends when its input does, so none outlives a benchmark that was killed.
package child

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"

	"github.com/grafos/grafos/integration/bench/internal/load"
)

// Request is one line to a child. What it must hold depends on Do.
type Request struct {
	ID uint64 `json:"id"`
	Do string `json:"do"`
	// Endpoint is whom one operation goes to, Endpoints whom a load goes to.
	Endpoint  string   `json:"endpoint,omitempty"`
	Endpoints []string `json:"endpoints,omitempty"`
	// Outstanding is how many operations of a load wait at a time, over Conns connections.
	Outstanding int    `json:"outstanding,omitempty"`
	Conns       int    `json:"conns,omitempty"`
	WarmMs      int64  `json:"warm_ms,omitempty"`
	WindowMs    int64  `json:"window_ms,omitempty"`
	TimeoutMs   int64  `json:"timeout_ms,omitempty"`
	Path        string `json:"path,omitempty"`
}

// Load returns the request for a load.
func Load(do string, s load.Spec) Request {
	return Request{Do: do, Outstanding: s.Outstanding, WarmMs: s.Warm.Milliseconds(), WindowMs: s.Window.Milliseconds()}
}

// Answer is one line from a child.
type Answer struct {
	ID      uint64 `json:"id"`
	Problem string `json:"problem,omitempty"`
	Leads   bool   `json:"leads,omitempty"`
	// TookUs are the latencies of a load's operations that ended in its window.
	TookUs   []uint32 `json:"took_us,omitempty"`
	WindowUs int64    `json:"window_us,omitempty"`
	Done     int      `json:"done,omitempty"`
	Failed   int      `json:"failed,omitempty"`
	First    string   `json:"first,omitempty"`
	// Counts are whatever else a child counts, by name.
	Counts map[string]int64 `json:"counts,omitempty"`
}

// Run is what the child's load measured.
func (a Answer) Run() load.Run {
	r := load.Run{
		Took: make([]time.Duration, len(a.TookUs)), Window: time.Duration(a.WindowUs) * time.Microsecond,
		Done: a.Done, Failed: a.Failed,
	}
	for i, us := range a.TookUs {
		r.Took[i] = time.Duration(us) * time.Microsecond
	}
	if a.First != "" {
		r.First = errors.New(a.First)
	}
	return r
}

// Of is Run the other way round, for the child's side.
func Of(r load.Run) Answer {
	a := Answer{TookUs: make([]uint32, len(r.Took)), WindowUs: r.Window.Microseconds(), Done: r.Done, Failed: r.Failed}
	for i, d := range r.Took {
		a.TookUs[i] = uint32(d.Microseconds())
	}
	if r.First != nil {
		a.First = r.First.Error()
	}
	return a
}

// Process is a child that runs.
type Process struct {
	cmd *exec.Cmd
	log string
	in  io.WriteCloser

	write sync.Mutex // one line at a time

	mu    sync.Mutex
	last  uint64                 // guarded by mu
	wait  map[uint64]chan Answer // guarded by mu
	ended bool                   // guarded by mu: no answer comes any more
	done  chan struct{}          // closed when the process is gone
}

// Start runs the program at path with args. What it says on its standard error goes to the
// file log, behind what is there.
func Start(path, log string, args ...string) (*Process, error) {
	f, err := os.OpenFile(log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open log: %w", err)
	}
	defer func() { _ = f.Close() }()   // the child has its own copy
	cmd := exec.Command(path, args...) //nolint:noctx // its owner ends it, gently first
	cmd.Stderr = f
	// Ctrl-C at the terminal is for the benchmark, which then ends its children in order.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", path, err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", path, err)
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", path, err)
	}
	p := &Process{cmd: cmd, log: log, in: in, wait: map[uint64]chan Answer{}, done: make(chan struct{})}
	go p.read(out)
	return p, nil
}

// read hands out the answers until the child ends, and then waits for it.
func (p *Process) read(out io.Reader) {
	defer close(p.done)
	dec := json.NewDecoder(bufio.NewReader(out))
	for {
		var a Answer
		if err := dec.Decode(&a); err != nil {
			break
		}
		p.mu.Lock()
		if ch, ok := p.wait[a.ID]; ok {
			ch <- a // it holds one
			delete(p.wait, a.ID)
		}
		p.mu.Unlock()
	}
	p.mu.Lock()
	p.ended = true
	for _, ch := range p.wait {
		close(ch)
	}
	clear(p.wait)
	p.mu.Unlock()
	_, _ = io.Copy(io.Discard, out) // what is no answer keeps nobody waiting
	_ = p.cmd.Wait()                // a child that was killed is no fault
}

// PID is the process's.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Ask sends r and waits for its answer. What the child could not do is the error.
func (p *Process) Ask(ctx context.Context, r Request) (Answer, error) {
	ch := make(chan Answer, 1)
	p.mu.Lock()
	if p.ended {
		p.mu.Unlock()
		return Answer{}, p.gone(r)
	}
	p.last++
	r.ID = p.last
	p.wait[r.ID] = ch
	p.mu.Unlock()
	if err := p.send(r); err != nil {
		p.forget(r.ID)
		return Answer{}, err
	}
	select {
	case a, ok := <-ch:
		switch {
		case !ok:
			return Answer{}, p.gone(r)
		case a.Problem != "":
			return a, fmt.Errorf("%s: %s", r.Do, a.Problem)
		}
		return a, nil
	case <-ctx.Done():
		p.forget(r.ID)
		return Answer{}, fmt.Errorf("%s: process %d: %w", r.Do, p.PID(), ctx.Err())
	}
}

func (p *Process) gone(r Request) error {
	return fmt.Errorf("%s: process %d has ended; see %s", r.Do, p.PID(), p.log)
}

func (p *Process) forget(id uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.wait, id)
}

func (p *Process) send(r Request) error {
	b, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("encode request: %w", err)
	}
	p.write.Lock()
	defer p.write.Unlock()
	if _, err := p.in.Write(append(b, '\n')); err != nil {
		return fmt.Errorf("ask process %d: %w", p.PID(), err)
	}
	return nil
}

// Signal sends sig to the process.
func (p *Process) Signal(sig syscall.Signal) error {
	if err := p.cmd.Process.Signal(sig); err != nil {
		return fmt.Errorf("signal process %d: %w", p.PID(), err)
	}
	return nil
}

// Gone waits until the process has ended, whatever ended it.
func (p *Process) Gone(ctx context.Context) error {
	select {
	case <-p.done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("process %d does not end: %w", p.PID(), ctx.Err())
	}
}

// closeTime is how long a child may take to end by itself.
const closeTime = 10 * time.Second

// Close ends the process: its input ends, and when that is not enough it is killed. A
// process that has ended already is none to complain of.
func (p *Process) Close() error {
	_ = p.cmd.Process.Signal(syscall.SIGCONT) // one that stands still hears nothing
	_ = p.in.Close()                          // it is closed already when the process has ended
	select {
	case <-p.done:
	case <-time.After(closeTime):
		_ = p.cmd.Process.Kill()
		<-p.done
		return fmt.Errorf("process %d did not end within %s and was killed", p.PID(), closeTime)
	}
	return nil
}
