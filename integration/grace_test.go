package integration

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/grafos/grafos/api"
)

// testCooperative revokes a run with a grace: its tasklet hears of it, hands over how far it came, and
// is gone long before the grace is over. Who watches sees each state of the way.
func (d *door) testCooperative(t *testing.T) {
	var runs api.RunList
	d.into(t, &runs, "run", "list")
	var run api.RunAnswer
	d.into(t, &run, "deploy", "run", "--provider", "local", "--module", guest(t, "saver"), "--mem", "64M", "--ttl", "5m", "--detach")
	eventually(t, 30*time.Second, func() string {
		if d.into(t, &run, "run", "show", string(run.ID)); run.State != api.RunRunning {
			return "run is " + string(run.State)
		}
		return ""
	})
	lease := run.Leases[0].ID
	// Longer than its ttl, and renewed while it runs.
	var a api.LeaseAnswer
	d.into(t, &a, "lease", "renew", string(lease), "--ttl", "6m")
	began := time.Now()
	d.into(t, &a, "lease", "revoke", string(lease), "--yes", "--grace", "4m", "--reason", "the host is needed")
	if a.Lease.State != api.LeaseRevokeWarning && a.Lease.State != api.LeaseGraceRunning {
		t.Errorf("with grace it is %s", a.Lease.State)
	}
	eventually(t, 60*time.Second, func() string {
		if d.into(t, &run, "run", "show", string(run.ID)); !run.Finalised {
			return "run is " + string(run.State)
		}
		return ""
	})
	if run.State != api.RunRevoked || run.Failure.Kind != api.LeaseRevoked || time.Since(began) > time.Minute {
		t.Errorf("after %s the run is %s: %+v", time.Since(began), run.State, run.Failure)
	}
	var left struct {
		Artifacts []struct {
			Data []byte `json:"data"`
		} `json:"artifacts"`
	}
	d.into(t, &left, "artifacts", string(run.ID), "--name", api.ArtifactCheckpoint)
	if len(left.Artifacts) != 1 || !strings.HasPrefix(string(left.Artifacts[0].Data), "steps=") {
		t.Errorf("handed over: %q", left.Artifacts)
	}
	d.into(t, &a, "lease", "show", string(lease))
	if a.Lease.State != api.LeaseTornDown || a.Lease.Reason != "revoked" {
		t.Errorf("the lease is %s (%s)", a.Lease.State, a.Lease.Reason)
	}
	walked := d.walked(t, fmt.Sprintf("%d.0", runs.Index), lease)
	want := []string{"lease_granted", "lease_bound", "lease_renewed", "lease_bound", "lease_revoked", "lease_grace_running", "lease_checkpoint_reported", "lease_torndown"}
	if !slices.Equal(walked, want) {
		t.Errorf("events %v", walked)
	}
}

// walked lists what happened to a lease, from a cursor to its end.
func (d *door) walked(t *testing.T, from string, lease api.LeaseID) (types []string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, d.urls[0]+"/api/v1/events?from="+from, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Accept", "application/x-ndjson")
	res, err := d.client(t, operator).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	stop := time.AfterFunc(20*time.Second, func() { _ = res.Body.Close() })
	defer stop.Stop()
	for dec := json.NewDecoder(res.Body); ; {
		var e api.Event
		if err := dec.Decode(&e); err != nil {
			if err != io.EOF {
				t.Errorf("read events: %v", err)
			}
			return types
		}
		if e.LeaseID != lease {
			continue
		}
		types = append(types, e.Type)
		if e.Type == "lease_torndown" {
			return types
		}
	}
}
