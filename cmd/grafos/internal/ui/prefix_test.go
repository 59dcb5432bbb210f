package ui

import (
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/grafos/grafos/api"
)

func TestPrefix(t *testing.T) {
	ids := []api.LeaseID{"l-1", "l-12", "l-13", "m-1"}
	for given, want := range map[string]api.LeaseID{"l-1": "l-1", "l-12": "l-12", "m": "m-1"} {
		if got, err := Prefix("lease", given, ids); got != want || err != nil {
			t.Errorf("%s: %s, %v", given, got, err)
		}
	}
	_, err := Prefix("lease", "l-", ids)
	wantProblem(t, err, api.InvalidArgument, "it begins 3 ids: l-1, l-12, l-13")
	_, err = Prefix("lease", "x", ids)
	wantProblem(t, err, api.NotFound, `"x"`)
	many := make([]api.LeaseID, 30)
	for i := range many {
		many[i] = api.LeaseID("l-" + strings.Repeat("i", i+1))
	}
	_, err = Prefix("lease", "l", many)
	wantProblem(t, err, api.InvalidArgument, "30 ids")
	if !strings.HasSuffix(api.Problem(err).Detail, ", ...") {
		t.Errorf("the list is not cut: %v", err)
	}
}

func TestDistance(t *testing.T) {
	word := rapid.StringMatching(`[a-d]{0,6}`)
	rapid.Check(t, func(t *rapid.T) {
		a, b, c := word.Draw(t, "a"), word.Draw(t, "b"), word.Draw(t, "c")
		if d := distance(a, b); (d == 0) != (a == b) || d != distance(b, a) || d > max(len(a), len(b)) {
			t.Fatalf("distance(%q, %q) is %d", a, b, d)
		}
		if distance(a, c) > distance(a, b)+distance(b, c) {
			t.Fatalf("the way from %q to %q is longer than over %q", a, c, b)
		}
	})
	if got := Closest("memm", []string{"name", "mem", "module"}); got != "mem" {
		t.Errorf("memm is near %q", got)
	}
	if got := Closest("zzzzz", []string{"name", "mem"}); got != "" {
		t.Errorf("zzzzz is near %q", got)
	}
}
