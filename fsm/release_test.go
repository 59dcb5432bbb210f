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

// What a release wrote every later one reads. testdata/releases/level1 holds a log of 163
// entries with every kind of lease and run in it, the state that it makes, and snapshots of
// that state in each version that was written at this level. They were written once and are
// never written again.
const release = "testdata/releases/level1"

func readRelease(t *testing.T, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(release, name))
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

// The log of the release makes the state that it made then, to the last field and to the
// head of the audit chain.
func TestReleaseLog(t *testing.T) {
	r := newRig(t)
	r.quick = true
	for b := readRelease(t, "log.bin"); len(b) > 0; {
		n, at := binary.Uvarint(b)
		r.index++
		r.apply(&raft.Log{Index: r.index, Data: b[at : at+int(n)]})
		b = b[at+int(n):]
	}
	r.check()
	if got, want := dump(t, r.m.View()), string(readRelease(t, "state.json")); got != want {
		t.Errorf("another state than then: %s", firstDifference(want, got))
	}
	golden(t, "releases/level1/snapshot_v2.bin", string(snapshotOf(t, r.m.View())))
	r.must(Recovered{ID: "rec-1", Actor: "operator/root", Node: "s1", Index: 163, Term: 2})
	golden(t, "releases/level1/recovered_v2.bin", string(snapshotOf(t, r.m.View())))
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

// Every snapshot of the release is the state that was written. From an old version a node
// goes on as from the newest.
func TestReleaseSnapshots(t *testing.T) {
	want := string(readRelease(t, "state.json"))
	for _, name := range []string{"snapshot_v1.bin", "snapshot_v2.bin"} {
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
	v, err := ReadSnapshot(bytes.NewReader(readRelease(t, "recovered_v2.bin")))
	if err != nil || v.ClusterEpoch() != 1 || !recovered(v, "rec-1") || v.Epoch() < epochJump || v.Level() != 1 {
		t.Errorf("of a recovered cluster: %v", err)
	}
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
