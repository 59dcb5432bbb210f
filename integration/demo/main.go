// Command demo tells the story of grafOS on this machine: a cluster comes up, a real
// program runs in it, its leader is killed, nothing that was acknowledged is lost. It exits
// 0 only when all of that was seen to hold.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/integration/internal/harness"
)

func main() { os.Exit(run(os.Args[1:], os.Stdout)) }

// columns is how wide the tables of the story are.
const columns = 130

// demoTime bounds the whole story.
const demoTime = 10 * time.Minute

func run(args []string, out io.Writer) int {
	flags := flag.NewFlagSet("demo", flag.ContinueOnError)
	bin := flags.String("grafos", "bin/grafos", "the program")
	if err := flags.Parse(args); err != nil {
		return 2
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, demoTime)
	defer cancel()
	s := &story{out: out, bin: *bin, began: time.Now(), held: map[api.LeaseID]bool{}}
	err := s.tell(ctx)
	if err = errors.Join(err, s.end()); err != nil {
		s.say("\nThe demo failed: %v", err)
		return 1
	}
	s.say("\nAll of it held, in %s.", time.Since(s.began).Round(100*time.Millisecond))
	return 0
}

// story is the demo being told.
type story struct {
	out     io.Writer
	bin     string
	dir     string
	cluster *harness.Cluster
	began   time.Time
	held    map[api.LeaseID]bool // acknowledged, and longer than the demo
	err     error
}

func (s *story) say(format string, args ...any) {
	// The story has no other reader: when it cannot be told, the exit code still is.
	_, _ = fmt.Fprintf(s.out, format+"\n", args...)
}

// show prints what a command said, set in.
func (s *story) show(text []byte) {
	for line := range strings.Lines(strings.TrimRight(string(text), "\n")) {
		s.say("    %s", strings.TrimRight(line, "\n"))
	}
}

func (s *story) tell(ctx context.Context) error {
	dir, err := os.MkdirTemp("", "grafos-demo-")
	if err != nil {
		return fmt.Errorf("make a folder: %w", err)
	}
	s.dir = dir
	for _, chapter := range []func(context.Context) error{
		s.up, s.compile, s.deploy, s.leases, s.killLeader, s.audit,
	} {
		if err := chapter(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (s *story) up(ctx context.Context) error {
	s.say("1. A cluster: three schedulers and three cells, as processes on loopback, mutual TLS, Raft on disk.")
	began := time.Now()
	c, err := harness.Up(ctx, s.bin, s.dir, 3, 3)
	if err != nil {
		return err
	}
	s.cluster = c
	s.say("   up after %s:", time.Since(began).Round(10*time.Millisecond))
	out, err := c.Terminal(columns).Run(ctx, "fabric", "cells")
	s.show(out)
	return err
}

func (s *story) compile(ctx context.Context) error {
	s.say("\n2. A real program that this project did not write: gojq v0.12.17, compiled unchanged for wasip1.")
	began := time.Now()
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", s.module(), "github.com/itchyny/gojq/cmd/gojq")
	cmd.Dir = filepath.Join("examples", "gojq")
	cmd.Env = append(cmd.Environ(), "GOOS=wasip1", "GOARCH=wasm", "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("compile gojq: %w: %s", err, out)
	}
	info, err := os.Stat(s.module())
	if err != nil {
		return err
	}
	s.say("   %s in %s", api.FormatSize(info.Size()), time.Since(began).Round(10*time.Millisecond))
	return nil
}

func (s *story) module() string { return filepath.Join(s.dir, "gojq.wasm") }

// question is asked of the cluster's own list of cells.
const question = `[.cells[] | {cell: .cell_id, ready, cores: .inventory.total_cpu, leases}]`

func (s *story) deploy(ctx context.Context) error {
	s.say("\n3. It runs as a tasklet, with the cluster's own list of cells on its standard input.")
	return s.ask(ctx)
}

// ask deploys gojq and checks that its answer is about the three cells.
func (s *story) ask(ctx context.Context) error {
	cells, err := s.cluster.Run(ctx, "fabric", "cells", "--json")
	if err != nil {
		return err
	}
	s.say("   $ grafos fabric cells --json | grafos deploy run --module gojq.wasm --provider local --mem 256M --input - -- -c '%s'", question)
	began := time.Now()
	out, err := s.cluster.RunInput(ctx, cells, "deploy", "run", "--module", s.module(), "--provider", "local",
		"--mem", "256M", "--input", "-", "--", "-c", question)
	if err != nil {
		return err
	}
	s.show(out)
	var answer []struct {
		Cell  string `json:"cell"`
		Ready bool   `json:"ready"`
	}
	if err := json.Unmarshal(out, &answer); err != nil || len(answer) != 3 {
		return fmt.Errorf("gojq answered %q: three cells were expected", bytes.TrimSpace(out))
	}
	s.say("   after %s", time.Since(began).Round(time.Millisecond))
	return nil
}

// leaseCount is how many leases must survive.
const leaseCount = 20

func (s *story) leases(ctx context.Context) error {
	s.say("\n4. %d leases are acknowledged.", leaseCount)
	for range leaseCount {
		var set api.GrantSet
		if err := s.cluster.JSON(ctx, &set, "lease", "request", "--provider", "local", "--mem", "1M", "--ttl", "30m"); err != nil {
			return err
		}
		if len(set.Leases) != 1 || set.Leases[0].Token == "" {
			return fmt.Errorf("a grant came without its token: %+v", set)
		}
		s.held[set.Leases[0].ID] = true
	}
	return s.count(ctx)
}

func (s *story) count(ctx context.Context) error {
	var list api.LeaseList
	if err := s.cluster.JSON(ctx, &list, "lease", "list"); err != nil {
		return err
	}
	active := 0
	for _, l := range list.Leases {
		if l.State == api.LeaseActive && s.held[l.ID] {
			active++
		}
	}
	if active != leaseCount {
		return fmt.Errorf("%d of %d acknowledged leases are active", active, leaseCount)
	}
	s.say("   all %d are there, at index %d", active, list.Index)
	return nil
}

func (s *story) killLeader(ctx context.Context) error {
	leader, err := s.cluster.Leader(ctx)
	if err != nil {
		return err
	}
	client, err := s.cluster.Client(ctx, 30*time.Second)
	if err != nil {
		return err
	}
	defer func() { s.err = errors.Join(s.err, client.Close()) }()
	request := func() error {
		_, err := client.RequestLeases(ctx, api.LeaseRequest{
			Provider: "local", Tenant: "dev", TTLMs: 1000, Resources: api.Resources{Mem: 1 << 20},
		}, api.WriteOptions{})
		return err
	}
	if err := request(); err != nil { // the connections are warm, as those of a busy client are
		return err
	}
	s.say("\n5. kill -9 of the leader, %s (pid %d).", leader.Name, leader.PID)
	if err := syscall.Kill(leader.PID, syscall.SIGKILL); err != nil {
		return fmt.Errorf("kill the leader: %w", err)
	}
	began := time.Now()
	if err := request(); err != nil {
		return fmt.Errorf("the first request after the kill: %w", err)
	}
	s.say("   the next lease was acknowledged %s later, and the client saw no error", time.Since(began).Round(time.Millisecond))
	if err := s.count(ctx); err != nil {
		return err
	}
	now, err := s.cluster.Leader(ctx)
	if err != nil {
		return err
	}
	s.say("   %s leads now; gojq again:", now.Name)
	if err := s.ask(ctx); err != nil {
		return err
	}
	if err := s.cluster.Restart(ctx, leader.Name); err != nil {
		return err
	}
	s.say("   %s is back", leader.Name)
	return nil
}

func (s *story) audit(ctx context.Context) error {
	s.say("\n6. The audit chain, every record of it:")
	out, err := s.cluster.Terminal(columns).Run(ctx, "admin", "audit-verify")
	s.show(out)
	return err
}

// end takes everything down that the demo started.
func (s *story) end() error {
	if s.cluster == nil {
		return errors.Join(s.err, os.RemoveAll(s.dir))
	}
	s.say("\n7. Everything is taken down.")
	err := s.cluster.Down(context.Background())
	return errors.Join(s.err, err, os.RemoveAll(s.dir))
}
