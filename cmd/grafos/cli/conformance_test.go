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
		cut  bool
	}{
		"stopped early": {nil, []string{"FAILED", "to_its_end", "got 3 of them, then at mem/leased_for_1s", "2 of 4 checks good", "it stopped early"}, true},
		"table":         {nil, []string{"FAILED   mem    revoked", "got still served; want lease_revoked within 2s", "aws-1 with agent dev: 2 of 3 checks good", "skipped"}, false},
		"json":          {[]string{"--json"}, []string{`{"check":{"name":"revoked","kind":"mem","ok":false,`, `{"report":{`, `"passed":false`}, false},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			r.broken, r.cut = true, c.cut
			r.env["GRAFOS_FORCE_TTY"] = map[bool]string{true: "120"}[c.args == nil]
			got := r.run(append([]string{"conformance", "run", "aws", "aws-1"}, c.args...)...)
			if got.code != 1 || got.err != "" {
				t.Errorf("exit %d, %q", got.code, got.err)
			}
			if early := strings.Contains(got.out, "stopped early"); early != c.cut {
				t.Errorf("it says that it stopped early: %t", early)
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
