package fsm

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/raft"

	"github.com/grafos/grafos/api"
)

// What a release wrote every later one reads. testdata/releases holds logs of the levels that were released,
// the state that each of them makes, and snapshots of that state in each version that was written at its
// level. They were written once and are never written again.
type release struct {
	log, state string
	snapshots  []string
}

// Of level 1 every kind of lease and run is in 163 entries. Of level 2 one log has what came with it, and the other
// what chance made of all commands, most of them refused.
var releases = []release{
	{"level1/log.bin", "level1/state.json", []string{"level1/snapshot_v1.bin", "level1/snapshot_v2.bin"}},
	{"level2/log.bin", "level2/state.json", []string{"level2/snapshot_v2.bin"}},
	{"level2/random_log.bin", "level2/random_state.json", []string{"level2/random_snapshot_v2.bin"}},
}

// current is the newest snapshot of a release, which is written today as it was then.
func (f release) current() string { return f.snapshots[len(f.snapshots)-1] }

func readRelease(t *testing.T, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", "releases", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// dump is everything that is in a state, in one order.
func dump(t testingT, v *View) string {
	t.Helper()
	leases, runs := []api.Lease{}, []api.Run{}
	v.leases.byEpoch.Scan(func(_ serial, r leaseRecord) bool { leases = append(leases, r.lease()); return true })
	v.runs.byID.Scan(func(_ api.RunID, r api.Run) bool { runs = append(runs, r); return true })
	blobs, tokens, keys := []BlobRef{}, []TokenRecord{}, []IdemRecord{}
	v.blobs.byKey.Scan(func(_ string, r BlobRef) bool { blobs = append(blobs, r); return true })
	v.tokens.byID.Scan(func(_ string, r TokenRecord) bool { tokens = append(tokens, r); return true })
	v.keys.byAge.Scan(func(_ useKey, r keyRecord) bool {
		k := r.record()
		k.Sub = 0 // version 1 did not have it
		keys = append(keys, k)
		return true
	})
	slices.SortFunc(keys, func(a, b IdemRecord) int {
		return strings.Compare(joinKey(a.Scope, a.Key), joinKey(b.Scope, b.Key))
	})
	b, err := json.MarshalIndent(map[string]any{
		"index": v.Index(), "now": v.Now(), "wall": v.Wall(), "cluster_id": v.ClusterID(), "epoch": v.meta.Epoch,
		"audit": v.AuditHead(), "providers": v.Providers(), "cells": v.Cells(""), "tenants": v.Tenants(),
		"leases": byLeaseID(leases), "runs": runs, "blobs": blobs, "keys": keys, "tokens": tokens,
	}, "", " ")
	if err != nil {
		t.Fatalf("%v", err)
	}
	return string(b) + "\n"
}

// The log of a release makes the state that it made then, to the last field and to the
// head of the audit chain.
func TestReleaseLog(t *testing.T) {
	for _, f := range releases {
		t.Run(f.log, func(t *testing.T) {
			r := replay(t, f)
			if got, want := dump(t, r.m.View()), string(readRelease(t, f.state)); got != want {
				t.Errorf("another state than then: %s", firstDifference(want, got))
			}
			golden(t, "releases/"+f.current(), string(snapshotOf(t, r.m.View())))
		})
	}
}

// replay applies the log of a release.
func replay(t *testing.T, f release) *rig {
	t.Helper()
	r := newRig(t)
	r.quick = true
	for b := readRelease(t, f.log); len(b) > 0; {
		n, at := binary.Uvarint(b)
		r.index++
		r.apply(&raft.Log{Index: r.index, Data: b[at : at+int(n)]})
		b = b[at+int(n):]
	}
	r.check()
	return r
}

// A cluster of level 1 that is recovered.
func TestReleaseRecovered(t *testing.T) {
	r := replay(t, releases[0])
	r.must(Recovered{ID: "rec-1", Actor: "operator/root", Node: "s1", Index: 163, Term: 2})
	golden(t, "releases/level1/recovered_v2.bin", string(snapshotOf(t, r.m.View())))
	v, err := ReadSnapshot(bytes.NewReader(readRelease(t, "level1/recovered_v2.bin")))
	if err != nil || v.ClusterEpoch() != 1 || !recovered(v, "rec-1") || v.Epoch() < epochJump || v.Level() != 1 {
		t.Errorf("read again: %v", err)
	}
}

func firstDifference(want, got string) string {
	w, g := strings.Split(want, "\n"), strings.Split(got, "\n")
	for i := range min(len(w), len(g)) {
		if w[i] != g[i] {
			return "line " + w[i] + " is now " + g[i]
		}
	}
	return "one is longer"
}

// Every snapshot of a release is the state that was written. From an old version a node
// goes on as from the newest.
func TestReleaseSnapshots(t *testing.T) {
	for _, f := range releases {
		want := string(readRelease(t, f.state))
		for _, name := range f.snapshots {
			v, err := ReadSnapshot(bytes.NewReader(readRelease(t, name)))
			if err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			if got := dump(t, v); got != want {
				t.Errorf("%s: another state than then: %s", name, firstDifference(want, got))
			}
			for _, err := range Check(v) {
				t.Errorf("%s: %v", name, err)
			}
			again, err := ReadSnapshot(bytes.NewReader(snapshotOf(t, v)))
			if err != nil || dump(t, again) != want || again.Fingerprint() != v.Fingerprint() {
				t.Errorf("%s: written again it is another: %v", name, err)
			}
		}
	}
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
