package fsm

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"

	"github.com/grafos/grafos/api"
)

// Topics fire for what changed and for nothing else, once.
func TestTopics(t *testing.T) {
	r := newRig(t).cluster()
	r.ready("aws", "aws-2")
	topics := []Topic{
		TopicIndex, TopicCells, TopicLeases, TopicRuns, TopicTenants, TopicEvents,
		CellTopic("aws-1"), CellTopic("aws-2"), LeaseTopic("l1"), RunTopic("r1"),
	}
	for name, c := range map[string]struct {
		do   Command
		want []Topic
	}{
		"nothing": {Tick{}, []Topic{TopicIndex}},
		"tenant":  {CreateTenant{Tenant: "beta", Quota: api.NoQuota()}, []Topic{TopicIndex, TopicTenants, TopicEvents}},
		"lease":   {grant(cpu("l1", 1)), []Topic{TopicIndex, TopicLeases, TopicEvents, CellTopic("aws-1"), LeaseTopic("l1")}},
		"run":     {grantRun("r1", 0), []Topic{TopicIndex, TopicLeases, TopicEvents, TopicRuns, CellTopic("aws-1"), RunTopic("r1")}},
		"cell":    {RevokeCell{Provider: "aws", Cell: "aws-2"}, []Topic{TopicIndex, TopicCells, TopicEvents, CellTopic("aws-2")}},
		"refused": {FreeLease{Lease: "l7"}, []Topic{TopicIndex}},
	} {
		chans := map[Topic]<-chan struct{}{}
		for _, topic := range topics {
			chans[topic] = r.m.Changed(topic)
		}
		r.one(c.do)
		want := map[Topic]bool{}
		for _, topic := range c.want {
			want[topic] = true
		}
		for _, topic := range topics {
			fired := false
			select {
			case <-chans[topic]:
				fired = true
			default:
			}
			if fired != want[topic] {
				t.Errorf("%s: topic %s fired %v", name, topic, fired)
			}
		}
	}
}

// Topics that nobody waits for any more do not pile up.
func TestTopicsAreBounded(t *testing.T) {
	r := newRig(t)
	first := r.m.Changed(LeaseTopic("l0"))
	for i := range maxTopics {
		r.m.Changed(LeaseTopic(api.LeaseID(fmt.Sprint("l", i+1))))
	}
	select {
	case <-first:
	default:
		t.Error("not woken")
	}
	if n := len(r.m.topics.chans); n > maxTopics {
		t.Errorf("%d topics", n)
	}
}

func TestWaitIndex(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		done := make(chan error, 1)
		go func() { done <- r.m.WaitIndex(t.Context(), 2) }()
		synctest.Wait()
		r.do(Tick{})
		synctest.Wait()
		select {
		case err := <-done:
			t.Fatalf("returned at index 1: %v", err)
		default:
		}
		r.do(Tick{})
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := r.m.WaitIndex(ctx, 3); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
	})
}

// A reader that fell behind is told so, and goes on with what is held.
func TestEvents(t *testing.T) {
	m := New(Options{Log: hclog.NewNullLogger(), EventRing: 4})
	for i := range 4 {
		var cs []Command
		for j := range 3 {
			cs = append(cs, CreateTenant{Tenant: api.TenantID(fmt.Sprintf("t%d-%d", i, j)), Quota: api.NoQuota()})
		}
		b, err := EncodeEntry(Entry{Commands: cs})
		if err != nil {
			t.Fatal(err)
		}
		m.Apply(&raft.Log{Index: uint64(i + 1), Data: b})
	}
	for _, c := range []struct {
		after api.Cursor
		limit int
		want  string
		gap   bool
	}{
		{api.Cursor{}, 9, "[3.2 4.0 4.1 4.2]", true},
		{api.Cursor{Index: 3, Sub: 0}, 9, "[3.2 4.0 4.1 4.2]", true},
		{api.Cursor{Index: 3, Sub: 1}, 9, "[3.2 4.0 4.1 4.2]", false},
		{api.Cursor{Index: 3, Sub: 2}, 2, "[4.0 4.1]", false},
		{api.Cursor{Index: 4, Sub: 2}, 9, "[]", false},
		{api.Cursor{Index: 9}, 9, "[]", false},
	} {
		events, gap := m.EventsAfter(c.after, c.limit)
		got := []api.Cursor{}
		for _, e := range events {
			got = append(got, e.Cursor)
		}
		if fmt.Sprint(got) != c.want || gap != c.gap {
			t.Errorf("after %v: got %v, gap %v, want %s, %v", c.after, got, gap, c.want, c.gap)
		}
	}
}

func TestFingerprints(t *testing.T) {
	r := newRig(t)
	r.quick = true
	seen := map[string]bool{}
	for range 3 * keepFingerprints {
		r.do(Tick{})
		seen[r.m.View().Fingerprint()] = true
	}
	prints := r.m.Fingerprints()
	if len(seen) != 3*keepFingerprints || len(prints) != keepFingerprints {
		t.Fatalf("%d different ones, %d are held", len(seen), len(prints))
	}
	for i, p := range prints {
		if want := r.index - keepFingerprints + 1 + uint64(i); p.Index != want {
			t.Fatalf("fingerprint %d is of index %d, want %d", i, p.Index, want)
		}
	}
	if last := prints[len(prints)-1]; last.Hash != r.m.View().Fingerprint() {
		t.Errorf("newest %+v", last)
	}
}
