package node

import (
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/grafos/grafos/capbroker/pki"
)

// TestRequestMetrics: what is asked is counted by what is known of it, and nobody makes more of it
// by asking for what there is not.
func TestRequestMetrics(t *testing.T) {
	m := newRequestMetrics()
	m.observe("/api/v1/leases", "POST", 200, 3*time.Millisecond)
	m.observe("/api/v1/leases", "POST", 201, 4*time.Millisecond)
	m.observe("/api/v1/leases", "POST", 409, time.Millisecond)
	m.observe("/api/v1/leases", "GET", 0, time.Millisecond)
	m.observe("/api/v1/leases", "GET", 1000, time.Millisecond)
	for _, method := range []string{"GET", "BREW", "STEEP"} {
		m.observe("", method, 404, time.Millisecond)
	}
	r := prometheus.NewRegistry()
	r.MustRegister(m.took)
	families, err := r.Gather()
	if err != nil || len(families) != 1 {
		t.Fatal(families, err)
	}
	got := map[string]uint64{}
	for _, s := range families[0].GetMetric() {
		var name strings.Builder
		for _, l := range s.GetLabel() {
			name.WriteString(l.GetValue() + " ")
		}
		got[name.String()] = s.GetHistogram().GetSampleCount()
		if name.String() == "2xx POST /api/v1/leases " && below(s.GetHistogram(), 0.001) != 0 {
			t.Error("3 ms is counted below 1 ms")
		}
	}
	want := map[string]uint64{
		"2xx POST /api/v1/leases ": 2, "4xx POST /api/v1/leases ": 1, "none GET /api/v1/leases ": 2, "4xx none none ": 3,
	}
	for name, n := range want {
		if got[name] != n {
			t.Errorf("%s: %d, want %d of %v", name, got[name], n, got)
		}
	}
	if len(got) != len(want) {
		t.Errorf("%d series: %v", len(got), got)
	}
}

func below(h *dto.Histogram, bound float64) uint64 {
	for _, b := range h.GetBucket() {
		if b.GetUpperBound() == bound {
			return b.GetCumulativeCount()
		}
	}
	return 0
}

// BenchmarkObserve is what a request pays for being counted.
func BenchmarkObserve(b *testing.B) {
	m := newRequestMetrics()
	b.ReportAllocs()
	for b.Loop() {
		m.observe("/api/v1/leases", "POST", 200, 3*time.Millisecond)
	}
}

// TestSnapshotMetrics: the newest snapshot counts, and what is not one does not.
func TestSnapshotMetrics(t *testing.T) {
	s := snapshotMetrics{t.TempDir()}
	if s.bytes() != 0 || !math.IsNaN(s.age()) {
		t.Errorf("of none: %v bytes, %v s", s.bytes(), s.age())
	}
	dir := filepath.Join(raftDir(s.dir), "snapshots")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, age := range map[string]time.Duration{"2-5-1.snap": 2 * time.Hour, "2-9-2.snap": time.Hour, "2-10-3.tmp": 0} {
		path := filepath.Join(dir, name)
		at := time.Now().Add(-age)
		if err := os.WriteFile(path, make([]byte, 10+int(age.Hours())), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, at, at); err != nil {
			t.Fatal(err)
		}
	}
	if s.bytes() != 11 || s.age() < 3600 || s.age() > 3700 {
		t.Errorf("%v bytes, %v s", s.bytes(), s.age())
	}
}

// TestCertificateEnds: both ends are told, in days.
func TestCertificateEnds(t *testing.T) {
	m, err := pki.InitMaterial(filepath.Join(t.TempDir(), "material"), pki.InitOptions{ClusterID: "g-test"})
	if err != nil {
		t.Fatal(err)
	}
	cert, err := schedulerCertificate(m, "s1", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	ends, err := certificateEnds(m, cert)
	if err != nil {
		t.Fatal(err)
	}
	if ca, own := daysLeft(ends["ca"]), daysLeft(ends["scheduler"]); ca < 1 || own < 1 || own > ca || len(ends) != 2 {
		t.Errorf("the CA has %v days, the scheduler %v", ca, own)
	}
	if left := daysLeft(time.Now().Add(-time.Hour)); left >= 0 {
		t.Errorf("an hour ago is %v days", left)
	}
}
