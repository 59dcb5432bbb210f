package main

import (
	"context"
	"os"
	"path/filepath"
	"testing"
)

// TestOnlyAFailedTestFinds: a fault is found by a test that says so, and by nothing else that
// ends a suite.
func TestOnlyAFailedTestFinds(t *testing.T) {
	for name, c := range map[string]struct {
		script     string
		found, bad bool
	}{
		"passes":          {"echo PASS", false, false},
		"a test fails":    {"echo '--- FAIL: TestX (0.01s)'; echo FAIL; exit 1", true, false},
		"a part fails":    {"echo '    --- FAIL: TestX/part (0.01s)'; echo FAIL; exit 1", true, false},
		"a test panics":   {"echo '--- FAIL: TestX (0.01s)'; echo 'panic: oops'; exit 2", true, false},
		"times out":       {"echo 'panic: test timed out after 3m0s'; exit 2", false, true},
		"killed":          {"kill -9 $$", false, true},
		"does not build":  {"echo 'FAIL x [build failed]'; exit 1", false, true},
		"no such flag":    {"echo 'flag provided but not defined'; exit 2", false, true},
		"says it, passes": {"echo '--- FAIL: TestX (0.01s)'", false, false},
	} {
		t.Run(name, func(t *testing.T) {
			bin := filepath.Join(t.TempDir(), "suite.test")
			if err := os.WriteFile(bin, []byte("#!/bin/sh\n"+c.script+"\n"), 0o700); err != nil { //nolint:gosec // it is run
				t.Fatal(err)
			}
			l := &lab{built: map[string]string{".": bin}}
			found, _, err := l.try(t.Context(), suite{pkg: "."}, "quota-by-one")
			if found != c.found || (err != nil) != c.bad {
				t.Errorf("found %v, error %v", found, err)
			}
		})
	}
	l := &lab{built: map[string]string{".": filepath.Join(t.TempDir(), "none")}}
	if found, _, err := l.try(t.Context(), suite{pkg: "."}, "quota-by-one"); found || err == nil {
		t.Errorf("a suite that is not there: found %v, error %v", found, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if found, _, err := l.try(ctx, suite{pkg: "."}, "quota-by-one"); found || err == nil {
		t.Errorf("stopped: found %v, error %v", found, err)
	}
}
