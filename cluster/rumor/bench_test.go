package rumor

import (
	"fmt"
	"testing"

	"github.com/grafos/grafos/api"
)

func fleet(n int) (s1, s2 *Table) {
	c := newClock()
	s1, s2 = NewTable("s1", c.now), NewTable("s2", c.now)
	for i := range n {
		cell := api.CellID(fmt.Sprintf("cell-%05d", i))
		s2.SessionOpened(cell, 1)
		s2.Heartbeat(cell, 1, api.Heartbeat{Seq: 1, Stamp: api.Stamp{BootID: "0b6e6c1e-7f0e-4f63-9d3a-2f1f9b7e5a11", BootTime: 1e15}}, limit)
	}
	s1.Merge(s2.Local())
	return s1, s2
}

func BenchmarkHeartbeat10k(b *testing.B) {
	_, s2 := fleet(10_000)
	seq := uint64(1)
	for b.Loop() {
		seq++
		s2.Heartbeat("cell-05000", 1, beat(seq), limit)
	}
}

func BenchmarkBest10k(b *testing.B) {
	s1, _ := fleet(10_000)
	for b.Loop() {
		s1.Best("cell-05000", 1)
	}
}

func BenchmarkPushPull10k(b *testing.B) {
	s1, s2 := fleet(10_000)
	for b.Loop() {
		msg := encode(msgWhole, s2.local())
		kind, d, err := decode(msg)
		if err != nil {
			b.Fatal(err)
		}
		_ = s1.merge(d, kind == msgWhole)
		b.ReportMetric(float64(len(msg)), "bytes")
	}
}
