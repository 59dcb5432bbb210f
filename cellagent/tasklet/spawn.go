package tasklet

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// spawner starts every worker from one thread that lives as long as the Runner. The kernel
// sends a parent-death signal when the *thread* that started a process ends, so a worker
// started from any thread of Go's would die at random.
type spawner struct {
	requests chan spawnRequest
	wg       sync.WaitGroup
}

type spawnRequest struct {
	cmd   *exec.Cmd
	reply chan error
}

func newSpawner() *spawner {
	s := &spawner{requests: make(chan spawnRequest)}
	s.wg.Go(s.run)
	return s
}

// run holds its thread for good: it is never unlocked, and ends with the goroutine.
func (s *spawner) run() {
	runtime.LockOSThread()
	for req := range s.requests {
		req.reply <- req.cmd.Start()
	}
}

// start starts cmd. Nobody may call it during or after close.
func (s *spawner) start(cmd *exec.Cmd) error {
	req := spawnRequest{cmd, make(chan error, 1)}
	s.requests <- req
	return <-req.reply
}

// close ends the thread; a worker that was left would die with it.
func (s *spawner) close() {
	close(s.requests)
	s.wg.Wait()
}

// spawn starts a worker process over the cache directory dir. It has said nothing yet.
func (s *spawner) spawn(c Config, dir string) (*process, error) {
	ours, theirs, err := socketPair()
	if err != nil {
		return nil, err
	}
	defer func() { _ = theirs.Close() }() // the child has its own by then
	args := append(append([]string{}, c.Args...), stageConfine, strconv.Itoa(os.Getpid()), dir, "")
	p := &process{conn: ours, last: &lastWords{}, nice: workerNice, dead: make(chan struct{})}
	p.cmd = &exec.Cmd{
		Path: c.Exe, Args: append([]string{c.Exe}, args...), Dir: "/", Env: []string{},
		Stdin: theirs, Stderr: p.last, WaitDelay: time.Second,
		SysProcAttr: &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL},
	}
	if err := s.start(p.cmd); err != nil {
		_ = ours.Close()
		return nil, fmt.Errorf("start worker: %w", err)
	}
	return p, nil
}

// socketPair makes the two ends; neither outlives an exec but where it is handed on.
func socketPair() (*net.UnixConn, *os.File, error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("make socket pair: %w", err)
	}
	ours, theirs := os.NewFile(uintptr(fds[0]), "worker"), os.NewFile(uintptr(fds[1]), "agent")
	defer func() { _ = ours.Close() }() // FileConn duplicates
	conn, err := net.FileConn(ours)
	if err != nil {
		_ = theirs.Close()
		return nil, nil, fmt.Errorf("use socket pair: %w", err)
	}
	unixConn, ok := conn.(*net.UnixConn)
	if !ok {
		_ = theirs.Close()
		return nil, nil, fmt.Errorf("socket pair is a %T", conn)
	}
	return unixConn, theirs, nil
}
