package rumor

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/grafos/grafos/api"
)

func TestPacketsAreBounded(t *testing.T) {
	c := newClock()
	table := NewTable("s1", c.now)
	for i := range maxDirty + 500 {
		table.SessionOpened(api.CellID(fmt.Sprintf("cell-%05d", i)), 1)
	}
	sent, packets := map[api.CellID]int{}, 0
	for b := table.Packet(1300); b != nil; b = table.Packet(1300) {
		if len(b) > 1300 {
			t.Fatalf("a packet of %d bytes", len(b))
		}
		_, d, err := decode(b)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range d.Sightings {
			sent[s.CellID]++
		}
		if packets++; packets > 100_000 {
			t.Fatal("the packets do not end")
		}
	}
	if len(sent) != maxDirty {
		t.Errorf("%d cells were sent, want %d", len(sent), maxDirty)
	}
	for cell, n := range sent {
		if n != transmits {
			t.Fatalf("%s was sent %d times", cell, n)
		}
	}
	if b := table.Packet(40); b != nil {
		t.Error("a packet without room")
	}
	table.SessionOpened("c", 1)
	if b := table.Packet(packetHead); b != nil {
		t.Error("a packet without room for a sighting")
	}
}

func TestCodec(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		name := rapid.StringMatching(`[a-z0-9]([a-z0-9._-]{0,20}[a-z0-9])?`)
		want := api.SightingTable{Node: api.NodeID(name.Draw(rt, "node")), Digest: rapid.Uint64().Draw(rt, "digest"), Sightings: []api.Sighting{}}
		for range rapid.IntRange(0, 5).Draw(rt, "n") {
			s := api.Sighting{
				CellID: api.CellID(name.Draw(rt, "cell")), Epoch: rapid.Uint64().Draw(rt, "epoch"), Seq: rapid.Uint64().Draw(rt, "seq"),
				Stamp: api.Stamp{BootID: rapid.StringN(0, 36, 36).Draw(rt, "boot"), BootTime: rapid.Int64Min(0).Draw(rt, "time")},
				AgeMs: rapid.Int64Range(0, maxAgeMs).Draw(rt, "age"), SteadyMs: rapid.Int64Range(0, maxAgeMs).Draw(rt, "steady"),
				Session: rapid.Bool().Draw(rt, "session"), Stuck: rapid.StringN(0, 40, maxStuck).Draw(rt, "stuck"),
			}
			if !s.Session {
				s.SessionAgeMs = rapid.Int64Range(-1, maxAgeMs).Draw(rt, "session age")
			}
			want.Sightings = append(want.Sightings, s)
		}
		b := encode(msgWhole, want)
		kind, got, err := decode(b)
		if err != nil || kind != msgWhole {
			rt.Fatalf("kind %d, %v", kind, err)
		}
		if d := cmp.Diff(want, got); d != "" {
			rt.Fatal(d)
		}
		cut := rapid.IntRange(0, len(b)-1).Draw(rt, "cut")
		if _, _, err := decode(b[:cut]); err == nil {
			rt.Fatalf("%d of %d bytes were taken", cut, len(b))
		}
		if _, _, err := decode(append(slices.Clone(b), 0)); err == nil {
			rt.Fatal("a byte too many was taken")
		}
	})
}

func TestDecodeRefuses(t *testing.T) {
	good := encode(msgWhole, api.SightingTable{Node: "s1", Digest: 1, Sightings: []api.Sighting{{CellID: "c1"}}})
	with := func(at int, v byte) []byte {
		b := slices.Clone(good)
		b[at] = v
		return b
	}
	many := slices.Concat(good[:2], []byte{2, 's', '1'}, make([]byte, 8), []byte{0xff, 0xff, 0xff, 0x7f})
	for name, b := range map[string][]byte{
		"nothing": nil, "another version": with(0, 2), "another message": with(1, 3), "a bad node name": with(3, '!'),
		"too many sightings": many, "too large": make([]byte, maxMessage+1), "unknown flags": with(len(good)-3, 8),
	} {
		if _, _, err := decode(b); err == nil {
			t.Errorf("%s was taken", name)
		}
	}
	if _, _, err := decode(good); err != nil {
		t.Error(err)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(encode(msgWhole, api.SightingTable{Node: "s1", Digest: 7, Sightings: []api.Sighting{
		{CellID: "c1", Epoch: 3, Seq: 9, Stamp: boot(9), AgeMs: 250, Session: true}, {CellID: "c2", SessionAgeMs: -1, Stuck: "disk"},
	}}))
	f.Fuzz(func(t *testing.T, b []byte) {
		kind, d, err := decode(b)
		if err != nil {
			return
		}
		if _, again, err := decode(encode(kind, d)); err != nil || !cmp.Equal(d, again) {
			t.Errorf("decoded, then encoded and decoded: %v %v", again, err)
		}
		_ = NewTable("other", time.Now).merge(d, kind == msgWhole)
	})
}
