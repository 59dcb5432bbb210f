package ledger

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/grafos/grafos/api"
)

// TestGPUs: which gpus a lease has is known to the next agent, of what is fenced too; a line that says
// nothing of them is of a lease that did not, and one that says nonsense is damaged.
func TestGPUs(t *testing.T) {
	dir := t.TempDir()
	l, _ := open(t, file(t, dir), "boot-1")
	held, fenced, plain := entry("a", 1, 1), entry("b", 2, 1), entry("c", 3, 1)
	for _, e := range []*Entry{&held, &fenced, &plain} {
		e.Kind, e.Use, e.Amount = api.KindGPU, "", 2
	}
	held.GPU = &api.GPUTerms{Class: api.GPUShared, ShareMilli: 250, Devices: []int{0, 3}}
	fenced.GPU = &api.GPUTerms{Class: api.GPUDeviceExclusive, Devices: []int{1, 2}}
	must(t, l.Accept(Floor{Epoch: 3}, []Entry{held, fenced, plain}))
	fenced.Phase, fenced.Reason = Fenced, "it does not go"
	must(t, l.Fence(fenced))
	must(t, l.Close())
	again, found := open(t, file(t, dir), "boot-1")
	if found.Damaged != 0 {
		t.Errorf("%d lines are damaged", found.Damaged)
	}
	if diff := cmp.Diff([]Entry{held, plain}, again.In(Accepted)); diff != "" {
		t.Errorf("accepted (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]Entry{fenced}, again.In(Fenced)); diff != "" {
		t.Errorf("fenced (-want +got):\n%s", diff)
	}
	if g := held.Grant(); !g.Terms.Same(&api.Terms{GPU: held.GPU}) {
		t.Errorf("the grant has %+v", g.Terms)
	}
	must(t, again.Close())
	line := string(appendEntry(nil, &held))
	text, err := body([]byte(line[:len(line)-1]))
	if err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{text + "x", text + " x"} {
		if err := newBook().take(bad); err == nil {
			t.Errorf("%q is read", bad)
		}
	}
}
