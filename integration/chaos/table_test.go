package chaos

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/grafos/grafos/api"
)

// row is one fault that was survived.
type row struct {
	kind     string
	gap      time.Duration // the longest time without an acknowledged grant
	acked    int
	terms    uint64
	recovery time.Duration // from healing until everything was up and ready
}

// table prints faults by kind: how many, the worst of them, and what clients were told.
func table(rows []row, errors map[string]map[api.Kind]int) string {
	lines := []string{"fault\tcount\tgrants\tlongest gap\tterms\tslowest recovery\terrors at clients"}
	byKind := map[string][]row{}
	for _, r := range rows {
		byKind[r.kind] = append(byKind[r.kind], r)
	}
	all := row{}
	for _, kind := range slices.Sorted(maps.Keys(byKind)) {
		sum := row{}
		for _, r := range byKind[kind] {
			sum = sum.with(r)
		}
		all = all.with(sum)
		lines = append(lines, fmt.Sprintf("%s\t%d\t%s\t%s", kind, len(byKind[kind]), sum, tally(errors[kind])))
	}
	lines = append(lines, fmt.Sprintf("all\t%d\t%s", len(rows), all))
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	_, _ = w.Write([]byte(strings.Join(lines, "\n") + "\n")) // to memory
	_ = w.Flush()
	return b.String()
}

func (r row) with(o row) row {
	return row{
		gap: max(r.gap, o.gap), acked: r.acked + o.acked, terms: r.terms + o.terms, recovery: max(r.recovery, o.recovery),
	}
}

// String is the middle columns of the table.
func (r row) String() string {
	return fmt.Sprintf("%d\t%s\t%d\t%s", r.acked, r.gap.Round(time.Millisecond), r.terms, r.recovery.Round(time.Millisecond))
}

func tally(counts map[api.Kind]int) string {
	var parts []string
	for _, k := range slices.Sorted(maps.Keys(counts)) {
		parts = append(parts, fmt.Sprintf("%s %d", k, counts[k]))
	}
	return strings.Join(parts, ", ")
}
