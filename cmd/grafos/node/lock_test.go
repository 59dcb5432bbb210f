package node

import (
	"strings"
	"testing"

	"github.com/grafos/grafos/api"
)

// TestHoldDir: one scheduler a directory, and the next one when it ended.
func TestHoldDir(t *testing.T) {
	dir := t.TempDir()
	release, err := holdDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := holdDir(dir); api.KindOf(err) != api.Conflict {
		t.Errorf("a second scheduler in the directory is answered with %v", err)
	}
	if err := release(); err != nil {
		t.Fatal(err)
	}
	if release, err = holdDir(dir); err != nil {
		t.Fatalf("the directory of a scheduler that ended: %v", err)
	}
	if err := release(); err != nil {
		t.Error(err)
	}
}

// TestAdvertise: nobody reaches a cell at an address that stands for all of them.
func TestAdvertise(t *testing.T) {
	for bind, want := range map[string]bool{
		"0.0.0.0:7500": true, "[::]:7500": true, ":7500": true,
		"10.0.0.7:7500": false, "127.0.0.1:0": false, "0.0.0.0:0": false, "host:7500": false,
	} {
		got, err := agentSettings{DataBind: bind}.advertise()
		if err != nil || (got != "") != want {
			t.Errorf("bound to %s a cell advertises %q, %v", bind, got, err)
		}
	}
	for _, bad := range []agentSettings{
		{DataBind: "nonsense"},
		{DataBind: "127.0.0.1:65536"},
		{DataBind: "127.0.0.1:http"},
		{DataBind: "127.0.0.1:0", DataAdvertise: "a"},
		{DataBind: "127.0.0.1:0", DataAdvertise: "a:0"},
		{DataBind: "127.0.0.1:0", DataAdvertise: "a:65536"},
	} {
		if _, err := bad.advertise(); api.KindOf(err) != api.InvalidArgument {
			t.Errorf("bound to %q and advertised as %q: %v", bad.DataBind, bad.DataAdvertise, err)
		}
	}
	if got, err := (agentSettings{DataBind: "0.0.0.0:7500", DataAdvertise: "a:1"}).advertise(); err != nil || got != "a:1" {
		t.Errorf("what was given is advertised as %q, %v", got, err)
	}
}

// TestCheckSchedulers: at an address that can be no scheduler's a cell would ask for ever.
func TestCheckSchedulers(t *testing.T) {
	if urls, err := schedulerURLs("schedulers", []string{"https://s1:7490", "https://10.0.0.1", "", "https://[::1]:7490/"}); err != nil || len(urls) != 3 {
		t.Error(err)
	}
	for _, bad := range []string{"http://s1:7490", "s1:7490", "https://", "https://s1:7490/api", "https://s1:65536", "https://:7490"} {
		_, err := schedulerURLs("schedulers", []string{"https://s1:7490", bad})
		p := api.Problem(err)
		if p == nil || p.Kind != api.InvalidArgument || !strings.Contains(p.Detail, "--schedulers") || p.Hint == "" {
			t.Errorf("%q: %v", bad, p)
		}
	}
	if _, err := schedulerURLs("schedulers", nil); api.KindOf(err) != api.InvalidArgument {
		t.Errorf("none at all: %v", err)
	}
}
