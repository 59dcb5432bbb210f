package history

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/grafos/grafos/api"
)

// line is one operation of a hand-written history: from call to ret, on a scale of its own.
type line struct {
	call, ret int64
	end       func(Call)
}

func lease(state api.LeaseState, generation uint64) api.Lease {
	return api.Lease{ID: "l1", State: state, Generation: generation, Epoch: 7}
}

func got(state api.LeaseState, generation uint64) func(Call) {
	return func(c Call) { c.Read(lease(state, generation)) }
}

func grant(c Call) { c.Granted(lease(api.LeaseActive, 1)) }

// renew is the first renewal.
func renew(c Call) { c.Renewed(lease(api.LeaseActive, 2)) }

func free(c Call) { c.Ended(lease(api.LeaseForcedTeardown, 1)) }

func took(n int) func(Call) { return func(c Call) { c.Took("t", 3, n) } }
func gave(c Call)           { c.r.Gave("t", 3, c.r.began.Add(time.Duration(c.at)), time.Now()) }
func mayGive(c Call)        { c.r.Gave("t", 3, c.r.began.Add(time.Duration(c.at)), time.Time{}) }

// record makes the history of some lines.
func record(lines []line) *Recorder {
	r := NewRecorder()
	for i, l := range lines {
		leases, quotas := len(r.leases), len(r.quotas)
		l.end(Call{r: r, client: i, at: l.call})
		setReturn(r.leases[leases:], l.ret)
		setReturn(r.quotas[quotas:], l.ret)
	}
	return r
}

func setReturn(ops []porcupine.Operation, ret int64) {
	for i := range ops {
		if ops[i].Return != forever {
			ops[i].Return = ret
		}
	}
}

// TestCheck feeds histories that could have been, and others that no scheduler could answer
// whose copies agree. The checker must tell them apart.
func TestCheck(t *testing.T) {
	active, forced, torndown, expired := api.LeaseActive, api.LeaseForcedTeardown, api.LeaseTornDown, api.LeaseExpired
	for name, c := range map[string]struct {
		lines []line
		bad   bool
	}{
		"a life":                              {lines: []line{{1, 2, grant}, {3, 4, got(active, 1)}, {5, 6, renew}, {7, 8, got(active, 2)}, {9, 10, got(expired, 2)}, {11, 12, got(torndown, 2)}}},
		"a read beside a free":                {lines: []line{{1, 2, grant}, {3, 8, free}, {4, 5, got(active, 1)}, {6, 7, got(forced, 1)}}},
		"a read beside a free goes back":      {bad: true, lines: []line{{1, 2, grant}, {3, 8, free}, {4, 5, got(forced, 1)}, {6, 7, got(active, 1)}}},
		"a stale read after an ack'd free":    {bad: true, lines: []line{{1, 2, grant}, {3, 4, free}, {5, 6, got(active, 1)}}},
		"a stale read after an ack'd renewal": {bad: true, lines: []line{{1, 2, grant}, {3, 4, renew}, {5, 6, got(active, 1)}}},
		"a lost grant":                        {bad: true, lines: []line{{1, 2, grant}, {3, 4, func(c Call) { c.NotFound("l1") }}}},
		"a read from the future":              {bad: true, lines: []line{{1, 2, grant}, {3, 4, got(active, 2)}}},
		"back to life":                        {bad: true, lines: []line{{1, 2, grant}, {3, 4, got(expired, 1)}, {5, 6, got(active, 1)}}},
		"renewed after its end":               {bad: true, lines: []line{{1, 2, grant}, {3, 4, free}, {5, 6, renew}}},
		"granted twice":                       {bad: true, lines: []line{{1, 2, grant}, {3, 4, grant}}},
		"renewed twice to one generation":     {bad: true, lines: []line{{1, 2, grant}, {3, 4, renew}, {5, 6, renew}}},
		"an open renewal that happened":       {lines: []line{{1, 2, grant}, {3, 0, func(c Call) { c.MaybeRenewed("l1") }}, {5, 6, got(active, 1)}, {7, 8, got(active, 2)}}},
		"an open renewal that did not":        {lines: []line{{1, 2, grant}, {3, 0, func(c Call) { c.MaybeRenewed("l1") }}, {5, 6, got(active, 1)}, {7, 8, got(torndown, 1)}}},
		"an open free that is taken back":     {bad: true, lines: []line{{1, 2, grant}, {3, 0, func(c Call) { c.MaybeEnded("l1") }}, {5, 6, got(forced, 1)}, {7, 8, got(active, 1)}}},

		"quota":                            {lines: []line{{1, 2, took(2)}, {3, 4, gave}, {5, 6, took(2)}}},
		"an end beside a grant":            {lines: []line{{1, 2, took(3)}, {3, 8, gave}, {4, 5, took(1)}}},
		"an open end":                      {lines: []line{{1, 2, took(3)}, {3, 0, mayGive}, {4, 5, took(1)}}},
		"more than the quota":              {bad: true, lines: []line{{1, 2, took(2)}, {3, 4, took(2)}}},
		"two grants of the same room":      {bad: true, lines: []line{{1, 2, took(2)}, {3, 6, took(1)}, {4, 7, took(1)}}},
		"a grant before the end of others": {bad: true, lines: []line{{1, 2, took(3)}, {3, 4, took(1)}, {5, 6, gave}}},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			faults, err := record(c.lines).Check(dir, 10*time.Second)
			if err != nil {
				t.Fatal(err)
			}
			pictures, err := os.ReadDir(dir)
			if err != nil {
				t.Fatal(err)
			}
			if want := map[bool]int{true: 1, false: 0}[c.bad]; len(faults) != want || len(pictures) != want {
				t.Errorf("faults %q, %d pictures", faults, len(pictures))
			}
		})
	}
}

func TestReads(t *testing.T) {
	at := func(process string, call, answer int64, index, modified, generation uint64) reading {
		return reading{process, call, answer, index, api.Lease{ID: "l1", Modified: modified, Generation: generation}}
	}
	for name, c := range map[string]struct {
		reads []reading
		want  string
	}{
		"forward":                 {reads: []reading{at("s1", 1, 2, 5, 4, 1), at("s2", 1, 9, 4, 4, 1), at("s1", 3, 4, 5, 4, 1), at("s1", 5, 6, 8, 7, 2)}},
		"beside each other":       {reads: []reading{at("s1", 1, 4, 8, 4, 1), at("s1", 3, 5, 5, 4, 1)}},
		"another process is old":  {reads: []reading{at("s1", 1, 2, 8, 4, 1), at("s2", 3, 4, 5, 4, 1)}},
		"back":                    {reads: []reading{at("s1", 1, 2, 8, 4, 1), at("s1", 3, 4, 5, 4, 1)}, want: "after that index 5"},
		"newer than its state":    {reads: []reading{at("s1", 1, 2, 5, 6, 1)}, want: "which entry 6 changed"},
		"one entry, two contents": {reads: []reading{at("s1", 1, 2, 5, 4, 1), at("s2", 1, 2, 5, 4, 2)}, want: "entry 4 made lease l1"},
	} {
		t.Run(name, func(t *testing.T) {
			faults := checkReads(c.reads)
			if c.want == "" && len(faults) > 0 || c.want != "" && (len(faults) != 1 || !strings.Contains(faults[0], c.want)) {
				t.Errorf("faults %q, want %q", faults, c.want)
			}
		})
	}
}
