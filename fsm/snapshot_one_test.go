package fsm

import (
	"bytes"
	"crypto/sha256"
	"testing"

	"github.com/grafos/grafos/api"
)

// writeOne writes a snapshot of version 1, as the release before wrote it.
func writeOne(t testingT, v *View) []byte {
	t.Helper()
	cd, err := newCodec()
	if err != nil {
		t.Fatalf("%v", err)
	}
	out := bytes.NewBufferString(snapshotMagic)
	var foot snapshotFoot
	frame := func(mark byte, value any) {
		body, err := cd.enc.Marshal(value)
		if err != nil {
			t.Fatalf("%v", err)
		}
		out.WriteByte(mark)
		out.Write(appendUint(nil, uint64(len(body))))
		out.Write(body)
		if mark < frameHead {
			foot.Records[mark]++
		}
	}
	m := v.meta.written()
	frame(frameHead, headOne{Version: 1, Meta: metaOne{
		ClusterID: m.ClusterID, Index: m.Index, Now: m.Now, Wall: m.Wall, Epoch: m.Epoch, Audit: m.Audit, Fingerprint: m.Fingerprint,
	}})
	for _, p := range v.Providers() {
		frame(byte(tableProviders), p)
	}
	for _, c := range v.Cells("") {
		frame(byte(tableCells), c)
	}
	for _, c := range v.Tenants() {
		frame(byte(tableTenants), c)
	}
	leases, keys := []api.Lease{}, map[string]IdemRecord{}
	v.leases.byEpoch.Scan(func(_ serial, r leaseRecord) bool { leases = append(leases, r.lease()); return true })
	for _, l := range byLeaseID(leases) {
		frame(byte(tableLeases), l)
	}
	v.runs.byID.Scan(func(_ api.RunID, r api.Run) bool { frame(byte(tableRuns), r); return true })
	v.blobs.byKey.Scan(func(_ string, r BlobRef) bool { frame(byte(tableBlobs), r); return true })
	v.keys.byAge.Scan(func(_ useKey, r keyRecord) bool {
		k := r.record()
		k.Sub = 0
		keys[joinKey(k.Scope, k.Key)] = k
		return true
	})
	for _, key := range sortedKeys(keys) {
		frame(byte(tableKeys), keys[key])
	}
	v.tokens.byID.Scan(func(_ string, r TokenRecord) bool { frame(byte(tableTokens), r); return true })
	frame(frameFoot, foot)
	sum := sha256.Sum256(out.Bytes())
	return append(out.Bytes(), sum[:]...)
}

// Version 1 is read into the same state, whatever is in it; what could not be is refused.
func TestSnapshotVersionOne(t *testing.T) {
	v := smallState(t).m.View()
	old, err := ReadSnapshot(bytes.NewReader(writeOne(t, v)))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := dump(t, old), dump(t, v); got != want {
		t.Errorf("another state: %s", firstDifference(want, got))
	}
	if old.Level() != 1 || old.ClusterEpoch() != 0 {
		t.Errorf("level %d, cluster epoch %d", old.Level(), old.ClusterEpoch())
	}
	for name, change := range map[string]func(l *api.Lease){
		"epoch twice":   func(l *api.Lease) { l.Epoch = 2 },
		"unknown state": func(l *api.Lease) { l.State = "napping" },
	} {
		v := *smallState(t).m.View()
		l, _ := v.Lease("r1-cpu")
		at := serial(l.Epoch)
		change(&l)
		rec := leaseRecord(appendLease(nil, &l))
		v.leases.byEpoch.Set(forgery, at, rec)
		if _, err := ReadSnapshot(bytes.NewReader(writeOne(t, &v))); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}
