package fsm

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/fsm/internal/cow"
)

// smallState has something in every table.
func smallState(t testingT) *rig {
	t.Helper()
	r := newRig(t).cluster()
	c := grantRun("r1", 1)
	c.Idem = Idem{Scope: "acme", Key: "k", Hash: "h"}
	r.must(c)
	r.must(ReferBlob{Tenant: "acme", Digest: module, Size: 1})
	r.must(UseToken{JTI: "j", Purpose: PurposeLogin, Uses: 1})
	r.bound("r1-cpu", "r1-mem")
	return r
}

func snapshotOf(t testingT, v *View) []byte {
	t.Helper()
	var buf bytes.Buffer
	if err := v.WriteSnapshot(&buf); err != nil {
		t.Fatalf("write snapshot: %v", err)
	}
	return buf.Bytes()
}

// sink is a raft.SnapshotSink in memory.
type sink struct {
	bytes.Buffer
	closed, cancelled bool
}

func (s *sink) ID() string    { return "test" }
func (s *sink) Close() error  { s.closed = true; return nil }
func (s *sink) Cancel() error { s.cancelled = true; return nil }

func TestSnapshotThroughRaft(t *testing.T) {
	r := smallState(t)
	snap, err := r.m.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	r.must(FreeLease{Lease: "r1-cpu"}) // entries go on while it is written
	var s sink
	if err := snap.Persist(&s); err != nil || !s.closed || s.cancelled {
		t.Fatalf("persist: %v, %+v", err, s)
	}
	snap.Release()

	other := newRig(t)
	woken := other.m.Changed(TopicLeases)
	if err := other.m.Restore(io.NopCloser(&s.Buffer)); err != nil {
		t.Fatal(err)
	}
	select {
	case <-woken:
	default:
		t.Error("a restore wakes nobody")
	}
	if l, ok := other.m.View().Lease("r1-cpu"); !ok || l.State != api.LeaseActive {
		t.Errorf("lease %+v", l)
	}
	at := api.EndOf(other.m.View().Index())
	if p := other.m.EventsAfter(api.Cursor{Index: 1}, 10); !p.Gap || p.Floor != at || p.Through != at {
		t.Errorf("events of before the snapshot are missing: %+v", p)
	}
	other.index, other.chain = r.index-1, api.NewAuditVerifier(other.m.View().AuditHead())
	other.apply(r.log[len(r.log)-1])
	if got, want := snapshotOf(t, other.m.View()), snapshotOf(t, r.m.View()); !bytes.Equal(got, want) {
		t.Error("the restored replica differs")
	}
	if other.m.View().Fingerprint() != r.m.View().Fingerprint() {
		t.Error("the fingerprints differ")
	}
}

func TestPersistFails(t *testing.T) {
	r := smallState(t)
	boom := errors.New("disk full")
	m := New(Options{Log: hclog.NewNullLogger(), BeforePersist: func() error { return boom }})
	snap, err := m.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	var s sink
	if err := snap.Persist(&s); !errors.Is(err, boom) || !s.cancelled || s.closed || s.Len() > 0 {
		t.Errorf("persist without its audit records: %v, %+v", err, s)
	}
	if err := r.m.View().WriteSnapshot(failingWriter{boom}); !errors.Is(err, boom) {
		t.Errorf("write: %v", err)
	}
}

type failingWriter struct{ err error }

func (w failingWriter) Write([]byte) (int, error) { return 0, w.err }

// Every byte of a snapshot matters: flipped, cut or added to, it is refused, and what was
// there before stays whole.
func TestSnapshotCorruption(t *testing.T) {
	good := snapshotOf(t, smallState(t).m.View())
	r := smallState(t)
	before := snapshotOf(t, r.m.View())
	refuse := func(what string, at int, b []byte) {
		t.Helper()
		if err := r.m.Restore(io.NopCloser(bytes.NewReader(b))); err == nil {
			t.Fatalf("%s at %d: restored", what, at)
		}
	}
	for i := range good {
		for _, bit := range []byte{0x01, 0x80} {
			b := bytes.Clone(good)
			b[i] ^= bit
			refuse("flipped", i, b)
		}
		refuse("cut", i, good[:i])
	}
	refuse("longer", len(good), append(bytes.Clone(good), 0))
	refuse("twice", len(good), append(bytes.Clone(good), good...))
	if !bytes.Equal(before, snapshotOf(t, r.m.View())) || r.fatal != nil {
		t.Error("a refused snapshot changed the state")
	}
	r.must(FreeLease{Lease: "r1-cpu"})
}

// A snapshot of a state that cannot be is refused although its sum is right.
func TestSnapshotStrict(t *testing.T) {
	lease := func(change func(*api.Lease)) func(*View) {
		return func(v *View) {
			l, _ := v.Lease("r1-cpu")
			at := serial(l.Epoch)
			change(&l)
			v.leases.byEpoch.Set(forgery, at, leaseRecord(appendLease(nil, &l)))
		}
	}
	for name, change := range map[string]func(*View){
		"unknown lease state": lease(func(l *api.Lease) { l.State = "napping" }),
		"unknown lease kind":  lease(func(l *api.Lease) { l.Kind = "disk" }),
		"negative amount":     lease(func(l *api.Lease) { l.Amount = -1 }),
		"negative time":       lease(func(l *api.Lease) { l.Granted = -1 }),
		"far time":            lease(func(l *api.Lease) { l.Expires = maxTick + 1 }),
		"epoch of the future": lease(func(l *api.Lease) { l.Epoch = 1 << 40 }),
		"no epoch":            lease(func(l *api.Lease) { l.Epoch = 0 }),
		"epoch twice":         lease(func(l *api.Lease) { l.Epoch = 2 }),
		"lease twice":         lease(func(l *api.Lease) { l.ID = "r1-mem" }),
		"no record":           func(v *View) { v.leases.byEpoch.Set(forgery, 1, "\x01\x01") },
		"another layout":      func(v *View) { r, _ := v.leases.byEpoch.Get(1); v.leases.byEpoch.Set(forgery, 1, "\x02"+r[1:]) },
		"unknown run state":   func(v *View) { r, _ := v.Run("r1"); r.State = "napping"; v.runs.byID.Set(forgery, r.ID, r) },
		"run twice":           func(v *View) { r, _ := v.Run("r1"); v.runs.byID.Set(forgery, "zz", r) },
		"audit head":          func(v *View) { v.meta.Audit.Hash = "zz" },
		"far clock":           func(v *View) { v.meta.Now = maxTick + 1 },
		"no level":            func(v *View) { v.meta.Level = 0 },
		"key twice": func(v *View) {
			r, _ := v.IdemKey("acme", "k")
			r.Sub++
			v.keys.byAge.Set(forgery, r.used(), keyRecord(appendKey(nil, &r)))
		},
		"key out of order": func(v *View) {
			r, _ := v.IdemKey("acme", "k")
			at := r.used()
			r.Key = "l"
			at += 7
			v.keys.byAge.Set(forgery, at, keyRecord(appendKey(nil, &r)))
		},
		"cell twice": func(v *View) { c, _ := v.Cell("aws-1"); v.cells.Set(forgery, "zz", c) },
		"record too large": func(v *View) {
			r, _ := v.Run("r1")
			r.Tasklet = strings.Repeat("x", maxRecord)
			v.runs.byID.Set(forgery, r.ID, r)
		},
	} {
		t.Run(name, func(t *testing.T) {
			v := *smallState(t).m.View()
			change(&v)
			var buf bytes.Buffer
			if err := v.WriteSnapshot(&buf); err != nil {
				return // the writer refuses too: what it cannot read back it does not write
			}
			_, err := ReadSnapshot(&buf)
			if bad, ok := errors.AsType[*SnapshotError](err); !ok || bad.Fault != FaultContent {
				t.Errorf("taken, or refused with %v", err)
			}
		})
	}
}

// forgery is the edit in which a test changes a view that nobody else has.
const forgery = cow.Edit(1 << 60)

// FuzzSnapshot reads anything: it is refused with words, or it is what its state writes.
func FuzzSnapshot(f *testing.F) {
	good := snapshotOf(f, smallState(f).m.View())
	f.Add(good)
	f.Add(good[:len(good)/2])
	f.Add([]byte(snapshotMagic))
	f.Add(writeOne(f, smallState(f).m.View()))
	f.Fuzz(func(t *testing.T, b []byte) {
		v, err := ReadSnapshot(bytes.NewReader(b))
		if err == nil && !bytes.Equal(snapshotOf(t, v), b) && !bytes.Equal(writeOne(t, v), b) {
			t.Error("a snapshot was taken that is not what its state writes")
		}
		if _, ok := errors.AsType[*SnapshotError](err); err != nil && !ok {
			t.Errorf("refused with %T: %v", err, err)
		}
	})
}

// frame is one of a snapshot.
type frame struct {
	mark byte
	body []byte
}

// framesOf takes a snapshot apart.
func framesOf(t testingT, b []byte) (frames []frame) {
	t.Helper()
	b = b[len(snapshotMagic) : len(b)-sha256.Size]
	for len(b) > 0 {
		n, at := binary.Uvarint(b[1:])
		end := 1 + at + int(n)
		frames = append(frames, frame{b[0], b[1+at : end]})
		b = b[end:]
	}
	return frames
}

// joined makes a snapshot of frames, with the right sum.
func joined(frames []frame) []byte {
	b := []byte(snapshotMagic)
	for _, f := range frames {
		b = append(appendUint(append(b, f.mark), uint64(len(f.body))), f.body...)
	}
	sum := sha256.Sum256(b)
	return append(b, sum[:]...)
}

// FuzzSnapshotRecord puts anything in the place of one record of a snapshot, with the right
// counts and the right sum: it is refused, or it is written as it was read, and a machine
// goes on with it; where no invariant was broken none is afterwards.
func FuzzSnapshotRecord(f *testing.F) {
	v := smallState(f).m.View()
	whole := [][]frame{framesOf(f, snapshotOf(f, v)), framesOf(f, writeOne(f, v))}
	for old, frames := range whole {
		for at, fr := range frames {
			f.Add(old == 1, at, fr.mark, fr.body)
		}
	}
	f.Fuzz(func(t *testing.T, old bool, at int, mark byte, body []byte) {
		frames := slices.Clone(whole[0])
		if old {
			frames = slices.Clone(whole[1])
		}
		if at < 0 || at >= len(frames) {
			return
		}
		frames[at] = frame{mark, body}
		goesOn(t, joined(frames))
	})
}

// goesOn restores a snapshot that may be refused and applies entries to what it holds.
func goesOn(t *testing.T, b []byte) {
	t.Helper()
	r := newRig(t)
	if err := r.m.Restore(io.NopCloser(bytes.NewReader(b))); err != nil {
		if bad, ok := errors.AsType[*SnapshotError](err); !ok || bad.Fault == FaultDamaged {
			t.Fatalf("refused with %v", err)
		}
		return
	}
	v := r.m.View()
	if again := snapshotOf(t, v); !bytes.Equal(again, b) {
		if two, err := ReadSnapshot(bytes.NewReader(again)); err != nil || dump(t, two) != dump(t, v) {
			t.Fatalf("written again it is another: %v", err)
		}
	}
	sound := len(Check(v)) == 0
	e, err := EncodeEntry(Entry{Tick: v.Now() + 1, Commands: []Command{
		Tick{},
		AdvanceLeases{Leases: v.DueLeases(v.Now(), 10)},
		FreeLease{Lease: "r1-cpu"},
		grantRun("r9", 0),
		ReportCell{Cell: "aws-1", Epoch: 1, Ended: []api.EndedReport{{LeaseID: "r1-cpu", Epoch: 1, State: api.LeaseTornDown}}},
		RevokeCell{Provider: "aws", Cell: "aws-1"},
	}})
	if err != nil {
		return // ids that are no UTF-8
	}
	if _, ok := r.m.Apply(&raft.Log{Index: v.Index() + 1, Data: e}).([]Result); ok && sound {
		for _, err := range Check(r.m.View()) {
			t.Error(err)
		}
	}
}

// An entry that cannot be read stops the node, for good and with its index in the words.
func TestFatalEntry(t *testing.T) {
	r := newRig(t).cluster()
	before := r.m.View()
	woken := r.m.Changed(TopicIndex)
	for range 2 {
		if err, ok := r.m.Apply(&raft.Log{Index: 99, Data: []byte{1, 2, 3}}).(error); !ok || !strings.Contains(err.Error(), "99") {
			t.Errorf("got %v", err)
		}
	}
	if r.fatal == nil || r.m.View() != before {
		t.Errorf("fatal %v", r.fatal)
	}
	select {
	case <-woken:
	default:
		t.Error("those who wait are not told")
	}
	good, _ := EncodeEntry(Entry{Commands: []Command{Tick{}}})
	if _, ok := r.m.Apply(&raft.Log{Index: 100, Data: good}).(error); !ok {
		t.Error("it applies on")
	}
	if err := r.m.WaitIndex(t.Context(), math.MaxUint64); err == nil || err.Error() != r.fatal.Error() {
		t.Errorf("wait: %v", err)
	}
	if _, err := r.m.Snapshot(); err == nil {
		t.Error("it snapshots on")
	}
}

// Audit records that cannot be kept stop the node before anybody sees what they are about.
func TestAuditFails(t *testing.T) {
	var fatal error
	boom := errors.New("disk full")
	m := New(Options{Log: hclog.NewNullLogger(), Audit: func([]api.AuditRecord) error { return boom }, Fatal: func(err error) { fatal = err }})
	b, _ := EncodeEntry(Entry{Commands: []Command{CreateTenant{Tenant: "acme", Quota: api.NoQuota()}}})
	if _, ok := m.Apply(&raft.Log{Index: 1, Data: b}).(error); !ok || !errors.Is(fatal, boom) || m.View().Index() != 0 {
		t.Errorf("fatal %v, index %d", fatal, m.View().Index())
	}
}
