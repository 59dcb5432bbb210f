package cli

import (
	"strings"
	"testing"

	"github.com/grafos/grafos/api"
)

func TestSuggestions(t *testing.T) {
	r := newRig(t)
	for want, args := range map[string][]string{
		"aws\nazure\n":     {"provider", "status", ""},
		"aws-1\naws-2\n":   {"provider", "revoke-cell", "aws", ""},
		"l-7f3a01\tmem on": {"lease", "show", "l-7"},
		"r-5b01aa\thello":  {"artifacts", ""},
		"acme\ndev\n":      {"admin", "set-quota", ""},
	} {
		got := r.run(append([]string{"__complete"}, args...)...)
		if got.code != 0 || !strings.HasPrefix(got.out, want) {
			t.Errorf("%v: exit %d, %q, want %q", args, got.code, got.out, want)
		}
	}
	r.err = api.Refuse(api.NoLeader, "no leader")
	if got := r.run("__complete", "run", "show", ""); got.code != 0 || !strings.HasPrefix(got.out, ":") {
		t.Errorf("without a cluster: exit %d, %q", got.code, got.out)
	}
}
