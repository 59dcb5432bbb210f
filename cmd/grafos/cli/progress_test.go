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

func TestDrainProgress(t *testing.T) {
	f := newFake()
	f.leases[0].State = api.LeaseRevokeWarning
	f.after = func(f *fake) {
		if f.leases[0].State == api.LeaseRevokeWarning {
			f.leases[0].State = api.LeaseTornDown
			return
		}
		f.cells[0].Leases, f.cells[0].State = 0, api.CellRevoked
	}
	s, errOut := watched(f)
	status, err := f.status("aws")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.untilRevoked(t.Context(), status, "aws-1"); err != nil {
		t.Fatal(err)
	}
	want := `revoke_warning  lease l-7f3a01  mem 64 MiB  0s
torndown        lease l-7f3a01  mem 64 MiB  0s
`
	if errOut.String() != want {
		t.Errorf("stderr:\n%s\nwant:\n%s", errOut, want)
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
