package fsm

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
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
		CellsOf("aws"), CellsOf("gcp"), LeasesAt("aws"), LeasesAt("gcp"), LeasesOf("acme"), LeasesOf("beta"),
		RunsAt("aws"), RunsAt("gcp"), RunsOf("acme"), RunsOf("beta"),
	}
	leases := []Topic{TopicLeases, LeasesAt("aws"), LeasesOf("acme"), CellTopic("aws-1"), TopicIndex, TopicEvents}
	for name, c := range map[string]struct {
		do   Command
		want []Topic
	}{
		"nothing": {Tick{}, []Topic{TopicIndex}},
		"tenant":  {CreateTenant{Tenant: "beta", Quota: api.NoQuota()}, []Topic{TopicIndex, TopicTenants, TopicEvents}},
		"lease":   {grant(cpu("l1", 1)), slices.Concat(leases, []Topic{LeaseTopic("l1")})},
		"run":     {grantRun("r1", 0), slices.Concat(leases, []Topic{TopicRuns, RunTopic("r1"), RunsAt("aws"), RunsOf("acme")})},
		"cell":    {RevokeCell{Provider: "aws", Cell: "aws-2"}, []Topic{TopicIndex, TopicCells, CellsOf("aws"), TopicEvents, CellTopic("aws-2")}},
		"switch":  {EnableProvider{Provider: "gcp", On: true}, []Topic{TopicIndex, TopicCells, CellsOf("gcp"), TopicEvents}},
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
			if got := r.m.LastChange(topic) == r.index; !ofRecord(topic) && got != want[topic] {
				t.Errorf("%s: topic %s last fired at %d of %d", name, topic, r.m.LastChange(topic), r.index)
			}
		}
	}
}

// ofRecord reports whether a topic is a lease's or a run's, whose last change is not remembered.
func ofRecord(t Topic) bool {
	return strings.HasPrefix(string(t), prefixLease) || strings.HasPrefix(string(t), prefixRun)
}

// A run is shown with its leases: what becomes of one wakes who waits for the run.
func TestRunTopicCoversItsLeases(t *testing.T) {
	r := newRig(t).cluster()
	r.must(grantRun("r1", 0))
	woken := r.m.Changed(RunTopic("r1"))
	r.bound("r1-cpu")
	select {
	case <-woken:
	default:
		t.Error("not woken")
	}
}

// What is remembered of tenants that are no more is bounded; a reader answers once in vain.
func TestLastChangesAreBounded(t *testing.T) {
	ts := topics{chans: map[Topic]chan struct{}{}, parts: map[Topic]*uint64{}}
	for i := range 2 * maxTopics {
		ts.fire(&touched{leasesOf: []api.TenantID{api.TenantID(fmt.Sprint("t", i))}}, uint64(i))
		if len(ts.parts) > maxTopics+1 {
			t.Fatalf("%d are remembered", len(ts.parts))
		}
	}
	for i := range 2 * maxTopics {
		if got := ts.lastChange(LeasesOf(api.TenantID(fmt.Sprint("t", i)))); got < uint64(i) {
			t.Fatalf("tenant %d changed at %d, and its change is told as of %d", i, i, got)
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
	b, err := EncodeEntry(Entry{Commands: []Command{Tick{}}})
	if err != nil {
		t.Fatal(err)
	}
	m.Apply(&raft.Log{Index: 5, Data: b}) // an entry without events moves the place too
	end := api.EndOf(5)
	for _, c := range []struct {
		after   api.Cursor
		limit   int
		want    string
		gap     bool
		through api.Cursor
	}{
		{api.Cursor{}, 9, "[3.2 4.0 4.1 4.2]", true, end},
		{api.Cursor{Index: 3, Sub: 0}, 9, "[3.2 4.0 4.1 4.2]", true, end},
		{api.Cursor{Index: 3, Sub: 1}, 9, "[3.2 4.0 4.1 4.2]", false, end},
		{api.Cursor{Index: 3, Sub: 2}, 2, "[4.0 4.1]", false, api.Cursor{Index: 4, Sub: 1}},
		{api.Cursor{Index: 3, Sub: 2}, 3, "[4.0 4.1 4.2]", false, end},
		{api.Cursor{Index: 3, Sub: 2}, 0, "[]", false, api.Cursor{Index: 3, Sub: 2}},
		{api.Cursor{Index: 4, Sub: 2}, 9, "[]", false, end},
		{api.Cursor{Index: 9}, 9, "[]", false, api.Cursor{Index: 9}},
	} {
		p := m.EventsAfter(c.after, c.limit)
		got := []api.Cursor{}
		for _, e := range p.Events {
			got = append(got, e.Cursor)
		}
		if fmt.Sprint(got) != c.want || p.Gap != c.gap || p.Through != c.through || p.Floor != (api.Cursor{Index: 3, Sub: 1}) {
			t.Errorf("after %v: got %v, gap %v up to %v, through %v", c.after, got, p.Gap, p.Floor, p.Through)
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

// One entry that changed much does not keep its memory for the node's life.
func TestLargeEntryKeepsNoMemory(t *testing.T) {
	small, large := again(make([]int, 9, maxAgain)), again(make([]int, 9, maxAgain+1))
	if len(small) != 0 || cap(small) != maxAgain || large != nil {
		t.Errorf("kept %d of %d and %d of %d", len(small), cap(small), len(large), cap(large))
	}
}
