package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/api/client"
	"github.com/grafos/grafos/integration/bench/internal/child"
	"github.com/grafos/grafos/integration/internal/harness"
)

// victim is a cluster whose leader is taken away.
type victim interface {
	leader(ctx context.Context) (int, error)
	signal(member int, sig syscall.Signal) error
	// write makes one write through one member alone, by a client that is connected to it.
	write(ctx context.Context, member int) error
	// writeAnywhere makes one write by a client that knows every member.
	writeAnywhere(ctx context.Context) error
	// mend starts a member that has ended or is about to, or wakes it.
	mend(ctx context.Context, member int, ended bool) error
	// settle returns when all follow one leader again, and none is far behind.
	settle(ctx context.Context) error
}

const (
	// faultWait bounds one write while a leader is missing.
	faultWait = 20 * time.Second
	// mendTime bounds the way back of a member: it applies its whole log again.
	mendTime = 2 * time.Minute
	// faultTTL outlasts any fault: a lease must not end before its cell has heard of it.
	faultTTL = 10 * time.Second
)

// grafos is a dev cluster as a victim.
type grafos struct {
	c     *harness.Cluster
	all   *client.Client
	each  []*client.Client
	nodes []harness.Scheduler
}

func newGrafos(ctx context.Context, c *harness.Cluster) (*grafos, error) {
	s, err := c.Status(ctx)
	if err != nil {
		return nil, err
	}
	g := &grafos{c: c, nodes: s.Schedulers}
	if g.all, err = c.Client(ctx, faultWait); err != nil {
		return nil, err
	}
	for _, n := range s.Schedulers {
		one, err := c.Client(ctx, faultWait, n.URL)
		if err != nil {
			return nil, errors.Join(err, g.close())
		}
		g.each = append(g.each, one)
	}
	return g, nil
}

func (g *grafos) close() error {
	errs := []error{g.all.Close()}
	for _, one := range g.each {
		errs = append(errs, one.Close())
	}
	return errors.Join(errs...)
}

func (g *grafos) leader(ctx context.Context) (int, error) {
	var leader int
	err := g.await(ctx, func(list []*api.SchedulerList) error {
		// A scheduler's id begins with its name.
		leader = slices.IndexFunc(g.nodes, func(n harness.Scheduler) bool {
			return strings.HasPrefix(string(list[0].Leader), n.Name+"-")
		})
		if leader < 0 {
			return fmt.Errorf("scheduler %q, which leads, is none of the cluster", list[0].Leader)
		}
		return nil
	})
	return leader, err
}

// near is how many entries a scheduler may be behind the others to be back.
const near = 64

// await asks every scheduler until all follow one leader, none is far behind, and ok says so.
func (g *grafos) await(ctx context.Context, ok func([]*api.SchedulerList) error) error {
	ctx, cancel := context.WithTimeout(ctx, mendTime)
	defer cancel()
	for {
		list, err := g.ask(ctx)
		if err == nil {
			err = ok(list)
		}
		if err == nil {
			return nil
		}
		if ended := pause(ctx, 20*time.Millisecond); ended != nil {
			return fmt.Errorf("the schedulers do not settle within %s: %w", mendTime, err)
		}
	}
}

// ask returns what every scheduler says of the cluster, when they agree.
func (g *grafos) ask(ctx context.Context) ([]*api.SchedulerList, error) {
	var all []*api.SchedulerList
	for i, one := range g.each {
		list, err := one.Schedulers(ctx)
		if err != nil {
			return nil, err
		}
		all = append(all, list)
		if list.Leader == "" || list.Leader != all[0].Leader {
			return nil, fmt.Errorf("scheduler %s follows %q", g.nodes[i].Name, list.Leader)
		}
	}
	for i, list := range all {
		if list.Index+near < all[0].Index || all[0].Index+near < list.Index {
			return nil, fmt.Errorf("scheduler %s is at index %d, %s at %d", g.nodes[i].Name, list.Index, g.nodes[0].Name, all[0].Index)
		}
	}
	return all, nil
}

func (g *grafos) signal(i int, sig syscall.Signal) error {
	if err := syscall.Kill(g.nodes[i].PID, sig); err != nil {
		return fmt.Errorf("signal %s: %w", g.nodes[i].Name, err)
	}
	return nil
}

func (g *grafos) write(ctx context.Context, i int) error { return admitOnce(ctx, g.each[i]) }

func (g *grafos) writeAnywhere(ctx context.Context) error { return admitOnce(ctx, g.all) }

func admitOnce(ctx context.Context, one *client.Client) error {
	_, err := one.RequestLeases(ctx, leaseRequest(faultTTL), api.WriteOptions{})
	return err
}

func (g *grafos) mend(ctx context.Context, i int, ended bool) error {
	if !ended {
		return g.signal(i, syscall.SIGCONT)
	}
	return g.back(ctx, i)
}

func (g *grafos) settle(ctx context.Context) error {
	return g.await(ctx, func([]*api.SchedulerList) error { return nil })
}

// back starts a scheduler again, once its process is gone.
func (g *grafos) back(ctx context.Context, i int) error {
	waiting, cancel := context.WithTimeout(ctx, faultWait)
	defer cancel()
	for !gone(g.nodes[i].PID) {
		if err := pause(waiting, 10*time.Millisecond); err != nil {
			return fmt.Errorf("wait for the end of %s: %w", g.nodes[i].Name, err)
		}
	}
	return g.c.JSON(ctx, &g.nodes[i], "dev", "restart", g.nodes[i].Name)
}

// gone reports whether a process has ended: one that nobody waited for yet has too.
func gone(pid int) bool {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return true
	}
	state := bytes.TrimSpace(b[bytes.LastIndexByte(b, ')')+1:])
	return len(state) > 0 && (state[0] == 'Z' || state[0] == 'X')
}

// The etcd side.

func (e *etcd) signal(i int, sig syscall.Signal) error { return e.proc[i].Signal(sig) }

func (e *etcd) write(ctx context.Context, i int) error {
	_, err := e.client.Ask(ctx, child.Request{Do: "one-put", Endpoint: e.at[i], TimeoutMs: faultWait.Milliseconds()})
	return err
}

func (e *etcd) writeAnywhere(ctx context.Context) error {
	_, err := e.client.Ask(ctx, child.Request{Do: "one-put-any", Endpoints: e.at[:], TimeoutMs: faultWait.Milliseconds()})
	return err
}

func (e *etcd) mend(ctx context.Context, i int, ended bool) error {
	if !ended {
		return e.proc[i].Signal(syscall.SIGCONT)
	}
	return errors.Join(e.proc[i].Gone(ctx), e.proc[i].Close(), e.start(i))
}

func (e *etcd) settle(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, mendTime)
	defer cancel()
	for n := range e.proc { // a member answers when it is ready
		if _, err := e.proc[n].Ask(ctx, child.Request{Do: "state"}); err != nil {
			return fmt.Errorf("wait for member %d: %w", n+1, err)
		}
	}
	if _, err := e.leader(ctx); err != nil {
		return err
	}
	for n := range e.proc {
		if err := e.write(ctx, n); err != nil {
			return err
		}
	}
	return nil
}

// moveLeader asks the leader to hand over to another member.
func (e *etcd) moveLeader(ctx context.Context, i int) error {
	_, err := e.proc[i].Ask(ctx, child.Request{Do: "move-leader"})
	return err
}
