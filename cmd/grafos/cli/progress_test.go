package cli

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/cmd/grafos/internal/ui"
)

// watched is a session with a person at the terminal.
func watched(f *fake) (*session, *bytes.Buffer) {
	var errOut bytes.Buffer
	u := &ui.UI{
		IO:     ui.IO{In: strings.NewReader(""), Out: &bytes.Buffer{}, Err: &errOut, OutTerminal: true, ErrTerminal: true, Width: 100, Now: noon},
		Output: ui.Output{Format: ui.FormatTable},
	}
	return &session{UI: u, Services: f}, &errOut
}

func TestRunProgress(t *testing.T) {
	f := newFake()
	f.follow = []api.RunState{api.RunPlaced, api.RunRunning, api.RunRunning, api.RunSucceeded}
	s, errOut := watched(f)
	run := f.runs[0]
	run.State = api.RunPlaced
	if err := s.finish(t.Context(), f.answer(run)); err != nil {
		t.Fatal(err)
	}
	want := `placed      run r-5b01aa on aws-1
running     run r-5b01aa on aws-1
succeeded   run r-5b01aa on aws-1 in 12ms
working
`
	if errOut.String() != want {
		t.Errorf("stderr:\n%s\nwant:\n%s", errOut, want)
	}
}

// TestDrainProgress: what each lease waits for is told, on a terminal and in a pipe, and to a program
// line by line.
func TestDrainProgress(t *testing.T) {
	draining := func(f *fake) {
		f.draining, f.waits, f.cells[0].State = true, api.WaitGrace, api.CellDraining
		f.leases = f.leases[:1]
		f.leases[0].State = api.LeaseRevokeWarning
		f.after = func(f *fake) {
			switch f.leases[0].State { //nolint:exhaustive // the others do not occur
			case api.LeaseRevokeWarning:
				f.leases[0].State, f.waits = api.LeaseForcedTeardown, api.WaitCell
			case api.LeaseForcedTeardown:
				f.leases[0].State, f.leases[0].Reason = api.LeaseTornDown, "cell_revoked"
			default:
				f.cells[0].Leases, f.cells[0].State = 0, api.CellRevoked
			}
		}
	}
	want := `revoke_warning  lease l-7f3a01  mem 64 MiB  its holder was warned and has 10s  0s
forced_teardown lease l-7f3a01  mem 64 MiB  the cell tears it down  0s
torndown        lease l-7f3a01  mem 64 MiB  0s
`
	for _, terminal := range []bool{true, false} {
		f := newFake()
		draining(f)
		s, errOut := watched(f)
		s.ErrTerminal = terminal
		d := newDrain(s, "aws-1")
		if err := d.follow(t.Context()); err != nil {
			t.Fatal(err)
		}
		if errOut.String() != want {
			t.Errorf("terminal %v: stderr:\n%s\nwant:\n%s", terminal, errOut, want)
		}
		if len(d.ended) != 1 || d.ended[0].State != api.LeaseTornDown || d.ended[0].Reason != "cell_revoked" {
			t.Errorf("ended %+v", d.ended)
		}
	}
	f := newFake()
	draining(f)
	s, errOut := watched(f)
	out := new(bytes.Buffer)
	s.Out, s.Output.Format = out, ui.FormatJSONL
	if err := newDrain(s, "aws-1").follow(t.Context()); err != nil || errOut.Len() > 0 {
		t.Fatalf("%v, stderr %q", err, errOut)
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if len(lines) != 3 || !strings.Contains(lines[0], `"waits_for":"grace"`) || !strings.Contains(lines[1], `"waits_for":"cell_confirmation"`) {
		t.Errorf("lines %q", lines)
	}
}

// TestDrainTellsFences: whoever takes a cell out of service hears of what its teardowns left.
func TestDrainTellsFences(t *testing.T) {
	r := newRig(t)
	const words = "1 lease of aws-1, whose teardown failed, is fenced, and no drain clears that: grafos admin list-fenced-leases --cell aws-1"
	if got := r.run("fabric", "drain", "aws-1"); got.code != 0 || strings.Contains(got.err, "fenced") {
		t.Errorf("where nothing is fenced: exit %d, %q", got.code, got.err)
	}
	for i := range r.leases {
		r.leases[i].CellID, r.leases[i].State, r.leases[i].Unfenced = "aws-1", api.LeaseFenced, 1
	}
	r.leases[0].Unfenced = 0
	r.run("fabric", "drain", "aws-1").want(t, 0, "aws-1", words)
	if got := r.run("fabric", "drain", "aws-1", "--json"); got.err != "" || !strings.Contains(got.out, `"fenced":1`) {
		t.Errorf("a program gets %q, and %q", got.out, got.err)
	}
}

// TestFinalisingIsBounded shows that a record which is not finalised in time is printed as
// it is.
func TestFinalisingIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.runs[0].Finalised = false
		began := time.Now()
		got := r.run("deploy", "run", "--provider", "aws", "--module", "hello.wasm", "--json")
		got.want(t, 0, `"finalised":false`, "")
		if took := time.Since(began); took < finaliseWait || took > finaliseWait+time.Second {
			t.Errorf("it took %s", took)
		}
		if !json.Valid([]byte(got.out)) {
			t.Errorf("not a document: %s", got.out)
		}
	})
}

// TestAuditLagIsBounded shows that records which their head promises and which never come
// are missing, not waited for.
func TestAuditLagIsBounded(t *testing.T) {
	f := newFake()
	f.records = f.records[:2]
	at := noon()
	s, _ := watched(f)
	s.Now = func() time.Time {
		at = at.Add(2 * time.Second)
		return at
	}
	_, err := s.verifyChain(t.Context())
	if err == nil || !strings.Contains(err.Error(), "record 3 is missing") {
		t.Errorf("%v", err)
	}
}
