package fsm

import (
	"testing"

	"github.com/grafos/grafos/api"
)

// Mass silence is one event a provider and entry, and what is silent is known by provider.
func TestMassSilenceIsAnEvent(t *testing.T) {
	r := newRig(t).cluster()
	silent := &api.Condition{Code: CodeMassSilence}
	hush := ChangeHealth{Changes: []HealthChange{{Cell: "aws-1", Epoch: 1, Healthy: silent}}}
	told := func() (n int) {
		events := r.m.EventsAfter(api.Cursor{}, 1000).Events
		for _, e := range events {
			if e.Type == "mass_silence" {
				n++
			}
		}
		return n
	}
	r.must(hush)
	if told() != 0 {
		t.Error("an event below its level")
	}
	r.must(RaiseLevel{Level: levelSilence})
	r.must(ChangeHealth{Changes: []HealthChange{{Cell: "aws-1", Epoch: 1, Healthy: yes}}})
	for range 2 {
		r.must(hush)
	}
	if told() != 1 {
		t.Errorf("told %d times", told())
	}
	if got := r.m.View().SilentProviders(); len(got) != 1 || got["aws"] != 1 {
		t.Errorf("silent are %v", got)
	}
}
