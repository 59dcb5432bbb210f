package tasklet

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/cellagent/work"
)

// cappable is a process in a group of files, and the worker's end of its connection.
func cappable(t *testing.T) (p *process, worker *net.UnixConn) {
	t.Helper()
	cmd := exec.Command("sleep", "600")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p = &process{cmd: cmd, nice: workerNice, group: &group{cpu: t.TempDir(), v2: true}}
	at := &net.UnixAddr{Name: filepath.Join(t.TempDir(), "s")}
	listener, err := net.ListenUnix("unix", at)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	if worker, err = net.DialUnix("unix", nil, at); err != nil {
		t.Fatal(err)
	}
	if p.conn, err = listener.AcceptUnix(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.kill()
		_, _, _ = cmd.Wait(), p.conn.Close(), worker.Close()
	})
	return p, worker
}

// TestCapComesWithGuestCode: a worker compiles with its weight, also one that had a cap before; only its guest
// is capped.
func TestCapComesWithGuestCode(t *testing.T) {
	p, worker := cappable(t)
	job := work.Job{CPU: 10, CPUCapped: true}
	says := func(want string) {
		t.Helper()
		if got := readLine(filepath.Join(p.group.cpu, "cpu.max")); got != want {
			t.Errorf("the cap is %q, want %q", got, want)
		}
	}
	before := ""
	for range 2 {
		e := execution{process: p, job: job, unlock: func() {}, tier: p.shareCPU(job)}
		if says(before); e.tier != api.CPUWeightV2 {
			t.Errorf("while it compiles its share is kept by %q", e.tier)
		}
		if err := writeFrame(worker, frameCompiled, nil); err != nil {
			t.Fatal(err)
		}
		if err := writeMessage(worker, frameDone, doneMessage{State: api.RunSucceeded}); err != nil {
			t.Fatal(err)
		}
		if _, err := e.receive(t.Context()); err != nil {
			t.Fatal(err)
		}
		if says("1000 100000"); e.tier != api.CPUQuotaV2 {
			t.Errorf("the guest's share is kept by %q", e.tier)
		}
		if !p.freshen() {
			t.Error("it is not for another run")
		}
		before = "max"
	}
}

// TestKillLiftsCap: a worker that is killed has all the CPU that there is to go, whatever its share was, and whoever
// caps it meanwhile comes too late.
func TestKillLiftsCap(t *testing.T) {
	p, _ := cappable(t)
	p.shareCPU(work.Job{CPU: 10})
	if !p.group.setCap(10) {
		t.Fatal("no cap is written")
	}
	p.kill()
	if p.group.setCap(10) {
		t.Error("a worker that was killed is capped")
	}
	if got := readLine(filepath.Join(p.group.cpu, "cpu.max")); got != "max" {
		t.Errorf("a killed worker has the cap %q", got)
	}
	if got := readLine(filepath.Join(p.group.cpu, "cpu.weight")); got != "200" {
		t.Errorf("a killed worker has the weight %q", got)
	}
	heavy, _ := cappable(t)
	heavy.shareCPU(work.Job{CPU: 4000})
	heavy.kill()
	if got := readLine(filepath.Join(heavy.group.cpu, "cpu.weight")); got != "400" {
		t.Errorf("a killed worker whose run had four cores has the weight %q", got)
	}
}

// TestCapAboveParent: a cap that the kernel refuses leaves none of a run before.
func TestCapAboveParent(t *testing.T) {
	mount := readMounts()["cpu"]
	parent := filepath.Join(mount, groupRoot(t))
	says := func(dir, file, value string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, file), []byte(value), 0); err != nil {
			t.Skipf("no quota can be written here: %v", err)
		}
	}
	says(parent, "cpu.cfs_period_us", "10000")
	says(parent, "cpu.cfs_quota_us", "5000")
	defer says(parent, "cpu.cfs_quota_us", "-1")
	g := &group{cpu: filepath.Join(parent, "one")}
	if err := os.Mkdir(g.cpu, 0o755); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = os.Remove(g.cpu) }()
	p := &process{group: g, nice: workerNice}
	for _, step := range []struct {
		cpu  int64
		held bool
		want string
	}{{400, true, "4000"}, {800, false, "-1"}, {300, true, "3000"}, {900, false, "-1"}} {
		if held := g.setCap(step.cpu); held != step.held {
			t.Errorf("a cap of %d holds: %v", step.cpu, held)
		}
		if got := readLine(filepath.Join(g.cpu, "cpu.cfs_quota_us")); got != step.want {
			t.Errorf("after a cap of %d the quota is %s, want %s", step.cpu, got, step.want)
		}
	}
	if !p.freshen() {
		t.Error("a worker without a cap is not for another run")
	}
	if !g.setCap(400) {
		t.Fatal("no cap is written")
	}
	if err := os.Remove(g.cpu); err != nil {
		t.Fatal(err)
	}
	if p.freshen() {
		t.Error("a worker whose cap is not lifted is for another run")
	}
}
