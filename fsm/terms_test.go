package fsm

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/grafos/grafos/api"
)

// The terms of a grant are in the leases that they are about and in its run, survive a snapshot, and are
// taken only by a cluster whose members all know them.
func TestGrantWithTerms(t *testing.T) {
	r := newRig(t).cluster()
	terms := &api.Terms{Egress: []string{"10.0.0.1:443"}}
	g := grant(cpu("l1", 1))
	g.Items = append(g.Items, GrantItem{ID: "l2", Kind: api.KindNet, Amount: 1000})
	if LevelOf(g) != 1 {
		t.Error("a grant without terms needs another level")
	}
	g.Terms = terms
	if LevelOf(g) != 2 {
		t.Error("a grant with terms needs no other level")
	}
	entry, err := EncodeEntry(Entry{Commands: []Command{g}})
	if err != nil {
		t.Fatal(err)
	}
	back, err := DecodeEntry(entry)
	if err != nil || cmp.Diff(back.Commands[0], Command(&g)) != "" {
		t.Fatalf("it comes back as %s (%v)", cmp.Diff(back.Commands[0], Command(&g)), err)
	}
	r.refused(api.Conflict, g) // below its level
	r.must(RaiseLevel{Level: 2})
	r.must(g)
	if l := r.lease("l1"); l.Terms != nil {
		t.Errorf("the cpu lease has terms %+v", l.Terms)
	}
	if l := r.lease("l2"); cmp.Diff(l.Terms, terms) != "" {
		t.Errorf("the net lease has terms %+v", l.Terms)
	}
	again, err := ReadSnapshot(bytes.NewReader(snapshotOf(t, r.m.View())))
	if err != nil || again.Fingerprint() != r.m.View().Fingerprint() {
		t.Errorf("read from a snapshot: %v", err)
	}
}

// What terms a grant may not have.
func TestTermsThatAreRefused(t *testing.T) {
	for name, terms := range map[string]*api.Terms{
		"too many destinations": {Egress: make([]string, api.MaxEgress+1)},
		"an empty destination":  {Egress: []string{""}},
		"a long destination":    {Egress: []string{strings.Repeat("a", 301)}},
		"a gpu without one":     {GPU: &api.GPUTerms{Class: api.GPUShared}},
	} {
		g := grant(cpu("l1", 1))
		g.Items = append(g.Items, GrantItem{ID: "l2", Kind: api.KindNet, Amount: 1000})
		g.Terms = terms
		if p := g.check(); kindOf(p) != api.InvalidArgument {
			t.Errorf("%s is answered %v", name, p)
		}
	}
	g := grant(cpu("l1", 1))
	g.Items = append(g.Items, GrantItem{ID: "l2", Kind: api.KindGPU, Amount: 1})
	for name, gpu := range map[string]api.GPUTerms{
		"no class":                 {},
		"another class":            {Class: "mine"},
		"more than a device":       {Class: api.GPUShared, ShareMilli: 1001},
		"less than nothing":        {Class: api.GPUShared, ShareMilli: -1},
		"a part of an own device":  {Class: api.GPUDeviceExclusive, ShareMilli: 500},
		"a device twice":           {Class: api.GPUShared, Devices: []int{1, 1}},
		"a device below zero":      {Class: api.GPUShared, Devices: []int{-1}},
		"a device that cannot be":  {Class: api.GPUShared, Devices: []int{api.MaxGPUOrdinals}},
		"devices in falling order": {Class: api.GPUShared, Devices: []int{2, 1}},
	} {
		g.Terms = &api.Terms{GPU: &gpu}
		if p := g.check(); kindOf(p) != api.InvalidArgument {
			t.Errorf("%s is answered %v", name, p)
		}
	}
	g.Terms = &api.Terms{Egress: []string{"a:1"}}
	if p := g.check(); kindOf(p) != api.InvalidArgument {
		t.Errorf("destinations without net are answered %v", p)
	}
}
