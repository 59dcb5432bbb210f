package fsm

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
	"pgregory.net/rapid"

	"github.com/grafos/grafos/api"
)

// TestRing holds the ring against a list of all events: whatever was asked for, in pages of any
// size, what is held is there, and a page says what is not.
func TestRing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := ring{limit: rapid.IntRange(1, 30).Draw(t, "limit"), size: rapid.SampledFrom([]int{256, 64 << 10}).Draw(t, "segment")}
		var all []api.Event
		var held []eventBatch // by readers, while others come; the memory of what nobody reads is used again
		var b eventBatch
		for index := range rapid.Uint64Range(1, 60).Draw(t, "entries") {
			b.begin(index+1, int64(index))
			for n := range rapid.IntRange(0, 9).Draw(t, "events") {
				d := b.open("kind", fmt.Sprint("actor ", n), &subject{Lease: "l", Run: "r"})
				b.done(append(d, strings.Repeat(fmt.Sprint(n), rapid.SampledFrom([]int{1, 1, 1, 5000}).Draw(t, "size"))...), len(d))
			}
			r.add(index+1, &b)
			if rapid.IntRange(0, 9).Draw(t, "read") == 0 {
				_, batches, _, _ := r.behind(api.Cursor{Index: index - min(index, 3)}, 5)
				held = append(held, batches...)
			}
			all = append(all, b.events()...)
		}
		for _, h := range held {
			for _, e := range h.events() {
				i := slices.IndexFunc(all, func(o api.Event) bool { return o.Cursor == e.Cursor })
				if i < 0 || string(e.Data) != string(all[i].Data) || e.Identity != all[i].Identity {
					t.Fatalf("event %v is another now", e.Cursor)
				}
			}
		}
		floor := api.Cursor{}
		if n := len(all) - r.limit; n > 0 {
			floor, all = all[n-1].Cursor, all[n:]
		}
		c := api.Cursor{Index: rapid.Uint64Range(0, 62).Draw(t, "index"), Sub: rapid.Uint32Range(0, 10).Draw(t, "sub")}
		for size := rapid.IntRange(1, 40).Draw(t, "page"); ; {
			p := r.after(c, size)
			if p.Gap != c.Before(floor) || p.Floor != floor {
				t.Fatalf("after %v: gap %v, floor %v, want %v", c, p.Gap, p.Floor, floor)
			}
			from := slices.IndexFunc(all, func(e api.Event) bool { return c.Before(e.Cursor) })
			if from < 0 {
				from = len(all)
			}
			want := all[from:min(len(all), from+size)]
			if diff := cmp.Diff(slices.Clone(want), p.Events, cmp.Transformer("empty", func(l []api.Event) []api.Event { return append([]api.Event{}, l...) })); len(want)+len(p.Events) > 0 && diff != "" {
				t.Fatalf("after %v: %s", c, diff)
			}
			through := api.EndOf(r.index)
			switch {
			case from+len(want) < len(all):
				through = want[len(want)-1].Cursor
			case through.Before(c):
				through = c
			}
			if p.Through != through {
				t.Fatalf("after %v: through %v, want %v", c, p.Through, through)
			}
			if len(want) == 0 {
				return
			}
			c = want[len(want)-1].Cursor
		}
	})
}

// TestWhatWasToldStays: the events and audit records of an entry stay as they are, whatever
// comes after it.
func TestWhatWasToldStays(t *testing.T) {
	var audits []api.AuditRecord
	m := New(Options{Log: hclog.NewNullLogger(), Audit: func(list []api.AuditRecord) error {
		for _, r := range list {
			audits = append(audits, r.Clone())
		}
		return nil
	}})
	for i := range 300 {
		cs := make([]Command, i%7)
		for j := range cs {
			cs[j] = CreateTenant{Tenant: api.TenantID(fmt.Sprintf("t%d-%d", i, j)), Quota: api.NoQuota()}
		}
		b, err := EncodeEntry(Entry{Commands: cs})
		if err != nil {
			t.Fatal(err)
		}
		m.Apply(&raft.Log{Index: uint64(i + 1), Data: b})
	}
	events := m.EventsAfter(api.Cursor{}, DefaultEventRing).Events
	if len(events) != len(audits) || len(events) < 800 {
		t.Fatalf("%d events, %d audit records", len(events), len(audits))
	}
	verifier := api.NewAuditVerifier(api.AuditHead{})
	for i, r := range audits {
		if err := verifier.Next(r); err != nil {
			t.Fatal(err)
		}
		e := events[i]
		if e.Type != r.Kind || e.Identity != r.Identity || string(e.Data) != string(r.Data) || cap(e.Data) != len(e.Data) {
			t.Fatalf("event %+v, audit record %+v", e, r)
		}
	}
}

// TestEventsHoldNoSegment: who holds one event of a busy entry holds none of the ring's memory.
func TestEventsHoldNoSegment(t *testing.T) {
	var b eventBatch
	b.begin(1, 0)
	for range 3 {
		d := b.open("kind", "actor", &subject{Lease: "l"})
		b.done(append(d, `{"some":"data"}`...), len(d))
	}
	r := ring{limit: 10}
	r.add(1, &b)
	got := r.after(api.Cursor{Index: 1}, 1).Events
	clear(r.last.data)
	if len(got) != 1 || got[0].Cursor.Sub != 1 || string(got[0].Data) != `{"some":"data"}` || got[0].Type != "kind" || got[0].LeaseID != "l" {
		t.Errorf("got %+v", got)
	}
}
