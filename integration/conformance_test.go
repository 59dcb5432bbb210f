package integration

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/integration/internal/harness"
)

// proven is what grafos conformance run said.
type proven struct {
	code   int
	checks []api.ConformanceCheck
	report *api.ConformanceReport
	stderr string
}

// failed names the checks that failed.
func (p proven) failed() []string {
	var names []string
	for _, c := range p.checks {
		if !c.OK {
			names = append(names, c.ID())
		}
	}
	return names
}

// prove runs the suite against a cell, as a program does.
func prove(t *testing.T, c *harness.Cluster, cell string) proven {
	t.Helper()
	said, err := c.Exec(t.Context(), nil, "conformance", "run", "local", cell, "--json")
	if err != nil {
		t.Fatal(err)
	}
	p := proven{code: said.Code, stderr: string(said.Stderr)}
	for lines := bufio.NewScanner(bytes.NewReader(said.Stdout)); lines.Scan(); {
		var step api.ConformanceStep
		if err := json.Unmarshal(lines.Bytes(), &step); err != nil || p.report != nil {
			t.Fatalf("a line of %s's suite is %q: %v", cell, lines.Text(), err)
		}
		if step.Check != nil {
			p.checks = append(p.checks, *step.Check)
		}
		p.report = step.Report
	}
	return p
}

// conformance is what the cells of a cluster are shown with.
func conformance(t *testing.T, c *harness.Cluster) map[api.CellID]api.Cell {
	t.Helper()
	var list api.CellList
	if err := c.JSON(t.Context(), &list, "fabric", "cells"); err != nil {
		t.Fatal(err)
	}
	cells := map[api.CellID]api.Cell{}
	for _, cell := range list.Cells {
		cells[cell.CellID] = cell
	}
	return cells
}

// TestConformance: every cell of a dev cluster passes the suite, all at one time; the result is shown, and
// survives a change of leaders and a restart of the cell. A cell that is marked production takes no lease
// before it has passed.
func TestConformance(t *testing.T) {
	if testing.Short() {
		t.Skip("starts processes")
	}
	const cells = 3
	c := upWith(t, append([]string{"--schedulers", "3", "--cells", fmt.Sprint(cells)}, everyKind()...)...)
	ctx := t.Context()
	name := func(i int) string { return fmt.Sprintf("local-%d", i+1) }

	request := func() (harness.Said, error) {
		return c.Exec(ctx, nil, "lease", "request", "--provider", "local", "--mem", "1M", "--ttl", "1s", "--json")
	}
	if _, err := c.Run(ctx, "provider", "mark", "local", "--production", "--reason", "goes live"); err != nil {
		t.Fatal(err)
	}
	// It is proved by itself now that it is marked: that may be sooner than anybody asks.
	if said, err := request(); err != nil || said.Code != 4 && said.Code != 0 || said.Code == 4 && !strings.Contains(string(said.Stderr), "not_conformant") {
		t.Errorf("before the suite: exit %d, %s, %v", said.Code, said.Stderr, err)
	}
	// One that had no result, because the machine was busy, is tried again after 30 s.
	eventually(t, 100*time.Second, func() string {
		for id, cell := range conformance(t, c) {
			if cell.Conformance != api.ConformancePassed || !cell.Production {
				return fmt.Sprintf("%s is %q by itself: %+v", id, cell.Conformance, cell.Suite)
			}
		}
		return ""
	})
	if said, err := request(); err != nil || said.Code != 0 {
		t.Errorf("after the suite: exit %d, %s, %v", said.Code, said.Stderr, err)
	}

	t.Log("proved by themselves")
	began := time.Now()
	results := make([]proven, cells)
	var all sync.WaitGroup
	for i := range cells {
		all.Go(func() { results[i] = prove(t, c, name(i)) })
	}
	all.Wait()
	t.Logf("%d cells in %s", cells, time.Since(began))
	for i, p := range results {
		if p.code != 0 || p.report == nil || !p.report.Passed || len(p.failed()) > 0 || p.report.Checks != len(p.checks) || len(p.checks) < 60 {
			t.Errorf("%s: exit %d, failed %v, %+v, %s", name(i), p.code, p.failed(), p.report, p.stderr)
		}
		for _, id := range []string{"net/connected", "net/refused_elsewhere", "net/cut_at_its_end", "net/cut_when_revoked", "gpu/exclusive", "gpu/ordinals"} {
			at := slices.IndexFunc(p.checks, func(c api.ConformanceCheck) bool { return c.ID() == id })
			if at < 0 || p.checks[at].Skipped != "" {
				t.Errorf("%s: %s was not made: %+v", name(i), id, p.checks[max(at, 0)])
				continue
			}
			t.Logf("%s: %s after %d ms: %s", name(i), id, p.checks[at].TookMs, p.checks[at].Got)
		}
	}

	lead, err := c.Leader(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Kill(ctx, lead.Name); err != nil {
		t.Fatal(err)
	}
	shown := func(when string) {
		t.Helper()
		for id, cell := range conformance(t, c) {
			if cell.Conformance != api.ConformancePassed || cell.Suite == nil || cell.Suite.Checks != results[0].report.Checks || cell.Suite.Actor != "operator/dev" && !strings.HasPrefix(cell.Suite.Actor, "operator/") {
				t.Errorf("%s %s is shown with %q, %+v", when, id, cell.Conformance, cell.Suite)
			}
		}
	}
	shown("after a change of leaders")
	if err := c.Restart(ctx, "local-1"); err != nil {
		t.Fatal(err)
	}
	shown("after a restart of the cell")
	audit, err := c.Run(ctx, "admin", "audit-query", "--kind", "cell_conformance")
	if err != nil || bytes.Count(audit, []byte("cell_conformance")) < 2*cells {
		t.Errorf("the audit chain has %s, %v", audit, err)
	}
	if p := prove(t, c, "local-9"); p.code != 5 {
		t.Errorf("an unknown cell: exit %d, %s", p.code, p.stderr)
	}
}

// TestBrokenCells: of a cell that breaks one promise, the suite says which, and such a cell takes no lease
// where it is marked production.
func TestBrokenCells(t *testing.T) {
	if testing.Short() {
		t.Skip("starts processes")
	}
	breakCells(t, nil, []broken{
		{"serves-ended:mem", []string{"mem/revoked", "mem/expired", "mem/freed"}},
		{"takes-old-tokens:cpu", []string{"cpu/old_generation", "cpu/old_generation_relayed"}},
		{"takes-any-token:mem", []string{"mem/flipped", "mem/foreign_broker", "mem/foreign_cell"}},
		{"wants-no-proof:block", []string{"block/unproved", "block/wrong_key_relayed"}},
		{"bind-fails:block", []string{"block/leased"}},
		{"bind-hangs:mem:1", []string{"mem/leased"}},
		{"teardown-fails:block:1", []string{"block/freed_torn_down"}},
		{"teardown-hangs:cpu:1", []string{"cpu/ran"}},
	})
}

// TestBrokenNetAndGPU: each fault is found by the check that is about it, and by no other.
func TestBrokenNetAndGPU(t *testing.T) {
	if testing.Short() {
		t.Skip("starts processes")
	}
	breakCells(t, everyKind(), []broken{
		{"connects-anywhere:net", []string{"net/refused_elsewhere"}},
		{"keeps-flows:net", []string{"net/cut_at_its_end", "net/cut_when_revoked"}},
		{"names-another-gpu:gpu", []string{"gpu/ordinals"}},
		{"names-the-first-gpu:gpu", []string{"gpu/exclusive"}},
	})
}

// everyKind is flags of a cell that offers all kinds.
func everyKind() []string {
	return []string{"--net", "100M", "--gpu", "h100,h100", "--allow-overcommit"}
}

// broken is a cell with a fault, and the checks that it fails.
type broken struct {
	faults string
	want   []string
}

// breakCells proves as many cells as there are faults, with these flags beside them.
func breakCells(t *testing.T, offer []string, list []broken) {
	t.Helper()
	c := up(t, len(list))
	ctx := t.Context()
	var all sync.WaitGroup
	slots := make(chan struct{}, 3) // as many suites as there may be on two cores without being in each other's way
	for i, b := range list {
		cell := fmt.Sprintf("local-%d", i+1)
		if err := c.Kill(ctx, cell); err != nil {
			t.Fatal(err)
		}
		before := conformance(t, c)[api.CellID(cell)].Epoch
		startAgent(t, c, cell, []string{"GRAFOS_TEST_FAULTS=1"}, append(slices.Clone(offer), "--test-faults", b.faults)...)
		all.Go(func() {
			if !readyAgain(t, c, api.CellID(cell), before) {
				return
			}
			slots <- struct{}{}
			p := prove(t, c, cell)
			<-slots
			if p.code != 1 || p.report == nil || p.report.Passed {
				t.Errorf("%s: exit %d, %+v, %s", b.faults, p.code, p.report, p.stderr)
			}
			kind := strings.Split(b.faults, ":")[1]
			for _, name := range b.want {
				if !slices.Contains(p.failed(), name) {
					t.Errorf("%s: %s did not fail, but %v", b.faults, name, p.failed())
				}
			}
			for _, name := range p.failed() {
				if offer == nil && name == "/"+api.ConformanceCutShort {
					continue // a cell on which something does not move takes no more leases
				}
				if !strings.HasPrefix(name, kind+"/") || offer != nil && !slices.Contains(b.want, name) {
					t.Errorf("%s: %s failed too: %+v", b.faults, name, p.checks[slices.IndexFunc(p.checks, func(c api.ConformanceCheck) bool { return c.ID() == name })])
				}
			}
		})
	}
	all.Wait()
	for id, cell := range conformance(t, c) {
		if cell.Conformance != api.ConformanceFailed {
			t.Errorf("%s is shown as %s", id, cell.Conformance)
		}
	}
	if _, err := c.Run(ctx, "fabric", "mark", "local-1", "--production"); err != nil {
		t.Fatal(err)
	}
	if shown, err := c.Run(ctx, "fabric", "cells", "-o", "wide"); err != nil || !strings.Contains(string(shown), "not_conformant: it is marked production and failed") {
		t.Errorf("%s, %v", shown, err)
	}
}

// readyAgain waits until another agent of a cell is ready.
func readyAgain(t *testing.T, c *harness.Cluster, cell api.CellID, before uint64) bool {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); {
		if now := conformance(t, c)[cell]; now.Ready && now.Epoch > before {
			return true
		}
		if harness.Pause(t.Context(), 100*time.Millisecond) != nil {
			break
		}
	}
	t.Errorf("%s is not ready again", cell)
	return false
}

// suite is a suite that a test stops.
type suite struct {
	cmd    *exec.Cmd
	lines  *bufio.Scanner
	stderr bytes.Buffer
}

// begun is how many lines have come of a suite that has begun: its leases are there.
const begun = 12

// beginSuite begins one and returns when that many lines have come.
func beginSuite(t *testing.T, c *harness.Cluster, args ...string) *suite {
	t.Helper()
	s := &suite{cmd: exec.CommandContext(t.Context(), binary(t), append([]string{"conformance", "run", "local", "local-1", "--json"}, args...)...)}
	s.cmd.Dir, s.cmd.Stderr = c.Dir(), &s.stderr
	out, err := s.cmd.StdoutPipe()
	if err == nil {
		err = s.cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	s.lines = bufio.NewScanner(out)
	for range begun {
		if s.lines.Scan() {
			continue
		}
		t.Fatalf("only a few lines came: %v, %s", s.cmd.Wait(), s.stderr.String())
	}
	return s
}

// end reads the rest and returns how many lines that was, and the exit code.
func (s *suite) end() (lines, code int) {
	for s.lines.Scan() {
		lines++
	}
	_ = s.cmd.Wait() // the code says it
	return lines, s.cmd.ProcessState.ExitCode()
}

// TestConformanceStops: a suite that is stopped, by who began it or with its leader, records nothing, says so,
// and leaves no lease behind.
func TestConformanceStops(t *testing.T) {
	if testing.Short() {
		t.Skip("starts processes")
	}
	c := up(t, 1)
	ctx := t.Context()
	clean := func(when string, within time.Duration) {
		t.Helper()
		eventually(t, within, func() string {
			var list api.LeaseList
			if err := c.JSON(ctx, &list, "lease", "list", "--tenant", string(api.ConformanceTenant)); err != nil {
				return err.Error()
			}
			if len(list.Leases) > 0 {
				return fmt.Sprintf("%s: %d leases are left, the first is %+v", when, len(list.Leases), list.Leases[0])
			}
			return ""
		})
		if cell := conformance(t, c)["local-1"]; cell.Conformance != api.ConformanceNone || cell.Suite != nil {
			t.Errorf("%s: the cell is %q, %+v", when, cell.Conformance, cell.Suite)
		}
	}

	s := beginSuite(t, c)
	if err := s.cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if _, code := s.end(); code != 8 || !strings.Contains(s.stderr.String(), "nothing is recorded") {
		t.Errorf("interrupted: exit %d, %s", code, s.stderr.String())
	}
	clean("interrupted", 5*time.Second)

	status, err := c.Status(ctx)
	if err != nil {
		t.Fatal(err)
	}
	follower, leader := "", ""
	for _, n := range status.Schedulers {
		if n.Role == "leader" {
			leader = n.Name
		} else {
			follower = n.URL
		}
	}
	s = beginSuite(t, c, "--fabric", follower)
	began := time.Now()
	if err := c.Kill(ctx, leader); err != nil {
		t.Fatal(err)
	}
	if _, code := s.end(); code != 8 || !strings.Contains(s.stderr.String(), "run it again") {
		t.Errorf("its leader was killed: exit %d after %s, %s", code, time.Since(began), s.stderr.String())
	}
	clean("its leader was killed", 30*time.Second) // 15 s of life, and then the cell says that they are gone

	for _, n := range status.Schedulers {
		if n.Name == leader {
			continue
		}
		s := beginSuite(t, c, "--fabric", n.URL)
		began := time.Now()
		lines, code := s.end()
		if took := time.Since(began); code != 0 || lines < 40 || took < 500*time.Millisecond {
			t.Errorf("at %s: exit %d, %d lines, all of them within %s: %s", n.Name, code, lines, took, s.stderr.String())
		}
	}
}
