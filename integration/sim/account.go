package sim

import (
	"fmt"
	"maps"
	"slices"
	"time"
)

// Account is what happened in a world.
type Account struct {
	Seed     uint64
	Took     time.Duration // of simulated time
	Kills    int           // of leaders
	Combined int           // faults that began while others were under way
	Changes  int           // disks that were lost, and members that were removed
	Stood    int           // cells and schedulers that stood still
	Late     int           // grants and renewals that waited somewhere until they were too old to be taken
	Cut      int           // leaders that were killed while they handed over
	Acked    int           // requests of clients, Used among them
	Used     int           // operations that cells served
	Entries  uint64        // newest index
	Faults   map[string]int
	Acks     map[string]int
	Refusals map[string]int
	Fulls    int // whole states that were checked
	Trace    string
	Lines    int
}

func (w *World) account() Account {
	c := w.check
	c.mu.Lock()
	defer c.mu.Unlock()
	w.mu.Lock()
	defer w.mu.Unlock()
	a := Account{
		Seed: w.cfg.Seed, Took: time.Since(w.began), Kills: w.counts["leader kills"], Combined: w.counts["combined"],
		Changes: w.counts["lose disk"] + w.counts["remove"], Stood: w.counts["standstill"] + w.counts["cell stands still"] + w.counts["host is suspended"],
		Late: w.counts["came too late"], Cut: w.counts["kill in a hand-over"], Used: c.acks["use"], Entries: c.newest, Fulls: c.fulls,
		Faults: maps.Clone(w.counts), Acks: maps.Clone(c.acks), Refusals: maps.Clone(c.refusals), Trace: w.trace.hash(), Lines: w.trace.lines,
	}
	for _, k := range slices.Sorted(maps.Keys(c.acks)) {
		if k != "bind" && k != "keep" {
			a.Acked += c.acks[k]
		}
	}
	return a
}

// plus adds what can be added of another world.
func (a Account) plus(o Account) Account {
	a.Took += o.Took
	a.Kills += o.Kills
	a.Combined += o.Combined
	a.Changes += o.Changes
	a.Stood += o.Stood
	a.Late += o.Late
	a.Cut += o.Cut
	a.Acked += o.Acked
	a.Used += o.Used
	a.Entries += o.Entries
	a.Fulls += o.Fulls
	a.Faults, a.Acks, a.Refusals = counted(a.Faults, o.Faults), counted(a.Acks, o.Acks), counted(a.Refusals, o.Refusals)
	return a
}

func counted(a, b map[string]int) map[string]int {
	sum := make(map[string]int, max(len(a), len(b)))
	for _, m := range []map[string]int{a, b} {
		for k, n := range m {
			sum[k] += n
		}
	}
	return sum
}

// String is what plus adds up, in a line.
func (a Account) String() string {
	return fmt.Sprintf("%d leader kills, %d kills in a hand-over, %d combined faults, %d standstills, %d grants that came too late, %d disks and members gone for good, "+
		"%d acknowledged requests, %d of them at cells, %d entries, %d whole states checked, %s of simulated time",
		a.Kills, a.Cut, a.Combined, a.Stood, a.Late, a.Changes, a.Acked, a.Used, a.Entries, a.Fulls, a.Took.Round(time.Second))
}

// asked is what worlds must have seen.
type asked struct {
	kills, acked, combined, changes, used, stood, late, cut int
	took                                                    time.Duration
}

// lacks lists what worlds saw too little of.
func (a Account) lacks(want asked) []string {
	var list []string
	for _, c := range []struct {
		what      string
		got, want int
	}{
		{"leader kills", a.Kills, want.kills},
		{"acknowledged requests", a.Acked, want.acked},
		{"faults that began while others were under way", a.Combined, want.combined},
		{"disks and members gone for good", a.Changes, want.changes},
		{"operations at cells", a.Used, want.used},
		{"standstills", a.Stood, want.stood},
		{"grants that came too late", a.Late, want.late},
		{"leaders killed in a hand-over", a.Cut, want.cut},
	} {
		if c.got < c.want {
			list = append(list, fmt.Sprintf("%d %s: at least %d are asked for", c.got, c.what, c.want))
		}
	}
	if a.Took < want.took {
		list = append(list, fmt.Sprintf("%s of simulated time: at least %s is asked for", a.Took.Round(time.Second), want.took))
	}
	return list
}
