package node

import (
	"strings"
	"testing"

	"github.com/grafos/grafos/cluster"
)

// TestRecoverVerdict: what was found has one verdict, and it says it in words.
func TestRecoverVerdict(t *testing.T) {
	mine := survivor{Dir: "/mine", Kept: cluster.Kept{LastIndex: 5, LastTerm: 2}}
	less := survivor{Dir: "/less", Kept: cluster.Kept{LastIndex: 9, LastTerm: 1}}
	more := survivor{Dir: "/more", Kept: cluster.Kept{LastIndex: 6, LastTerm: 2}}
	for _, tt := range []struct {
		name    string
		report  recoverReport
		verdict string
		says    string
	}{
		{"alone", recoverReport{DryRun: true, Present: 1, Quorum: 2}, verdictMay, "1 voter would be there, this one among them, and 2 are a quorum: it can be"},
		{"the best", recoverReport{DryRun: true, Present: 1, Quorum: 2, Survivors: []survivor{less}}, verdictMay, "nothing was changed"},
		{"a worse one", recoverReport{DryRun: true, Present: 1, Quorum: 2, Survivors: []survivor{less, more}}, verdictLess, "from /more instead"},
		{"a quorum", recoverReport{DryRun: true, Present: 2, Quorum: 2, Survivors: []survivor{more}}, verdictStart, "start this scheduler"},
		{"done", recoverReport{Present: 1, Quorum: 2, Leases: 1}, verdictRecovered, "1 live lease"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := tt.report
			r.Survivors = append([]survivor{mine}, r.Survivors...)
			r.judge(mine)
			if r.Verdict != tt.verdict || !strings.Contains(r.Detail, tt.says) {
				t.Errorf("%s: %s", r.Verdict, r.Detail)
			}
		})
	}
}
