package cli

import (
	"strings"
	"testing"
)

// A suite that fails exits 1, says which check, what came and what was wanted; with --json each step is a
// line, and nothing else is said.
func TestConformanceFails(t *testing.T) {
	for name, c := range map[string]struct {
		args []string
		out  []string
	}{
		"table": {nil, []string{"FAILED   mem    revoked", "got still served; want lease_revoked within 2s", "aws-1 with agent dev: 2 of 3 checks good", "skipped"}},
		"json":  {[]string{"--json"}, []string{`{"check":{"name":"revoked","kind":"mem","ok":false,`, `{"report":{`, `"passed":false`}},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			r.broken = true
			r.env["GRAFOS_FORCE_TTY"] = map[bool]string{true: "120"}[c.args == nil]
			got := r.run(append([]string{"conformance", "run", "aws", "aws-1"}, c.args...)...)
			if got.code != 1 || got.err != "" {
				t.Errorf("exit %d, %q", got.code, got.err)
			}
			for _, word := range c.out {
				if !strings.Contains(got.out, word) {
					t.Errorf("%q is not in\n%s", word, got.out)
				}
			}
		})
	}
}

// A cell that is not there is not asked for, and a mark is said in so many words.
func TestConformanceUsage(t *testing.T) {
	for _, c := range []struct {
		code int
		args []string
	}{
		{5, []string{"conformance", "run", "aws", "nope"}},
		{5, []string{"conformance", "run", "nope", "aws-1"}},
		{2, []string{"conformance", "run", "aws"}},
		{2, []string{"fabric", "mark", "aws-1"}},
		{2, []string{"provider", "mark", "aws"}},
		{5, []string{"fabric", "mark", "nope", "--production"}},
		{0, []string{"fabric", "mark", "aws-1", "--production=false"}},
		{0, []string{"conformance", "run", "aws", "aws-1", "--dry-run"}},
	} {
		if got := newRig(t).run(c.args...); got.code != c.code {
			t.Errorf("%v: exit %d, want %d: %s", c.args, got.code, c.code, got.err)
		}
	}
}
