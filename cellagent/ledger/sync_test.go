package ledger

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"
)

// TestNobodyWaitsForASync: a disk that is slow to sync holds neither a compaction up nor what is
// accepted beside it; and what was there before the sync is on the disk after it, in whichever file.
func TestNobodyWaitsForASync(t *testing.T) {
	f := file(t, t.TempDir())
	l, _ := open(t, f, "boot-1")
	entered, leave := make(chan struct{}), make(chan struct{})
	var synced []string
	f.sync = func(fd int) error {
		name := nameOf(t, fd)
		if len(synced) == 0 {
			close(entered)
			<-leave
		}
		synced = append(synced, name, nameOf(t, fd))
		return unix.Fdatasync(fd)
	}
	done := make(chan error, 1)
	go func() { done <- l.Sync() }()
	<-entered
	must(t, l.Compact())
	must(t, l.Accept(Floor{Epoch: 1}, []Entry{entry("a", 1, 1)}))
	close(leave)
	must(t, <-done)
	// The first is closed only when its sync is done; its name is gone when that begins to be so.
	whole := filepath.Join(f.dir, fileName)
	if want := []string{whole, whole + " (deleted)", whole, whole}; !slices.Equal(synced, want) {
		t.Errorf("synced were %q, want %q", synced, want)
	}
	must(t, l.Close())
}

func nameOf(t *testing.T, fd int) string {
	t.Helper()
	buf := make([]byte, 4096)
	n, err := unix.Readlink("/proc/self/fd/"+strconv.Itoa(fd), buf)
	if err != nil {
		t.Error(err)
	}
	return string(buf[:max(n, 0)])
}

// deaf is a disk that does not sync while it is told not to; a sync waits until it is let go.
type deaf struct {
	Memory
	deaf          bool
	entered, wait chan struct{}
}

func (d *deaf) Sync() error {
	if d.wait != nil {
		d.entered <- struct{}{}
		<-d.wait
	}
	if d.deaf {
		return errors.New("input/output error")
	}
	return d.Memory.Sync()
}

// TestUnsyncedFence: a fence that did not get to the disk is tried again, also when something else was
// written well since, and nobody waits for that but who asks.
func TestUnsyncedFence(t *testing.T) {
	d := &deaf{deaf: true}
	l, _, err := Open(&d.Memory, "boot-1")
	must(t, err)
	l.disk = d
	if err := l.Fence(entry("f", 1, 1)); err == nil {
		t.Fatal("it is not on the disk")
	}
	must(t, l.Accept(Floor{Epoch: 2}, []Entry{entry("a", 2, 1)}))
	if l.Failing() == nil {
		t.Fatal("a fence that is not on the disk does not fail")
	}
	d.deaf, d.entered, d.wait = false, make(chan struct{}), make(chan struct{})
	before := len(d.kept)
	done := make(chan error, 1)
	go func() { done <- l.Failing() }()
	<-d.entered
	must(t, l.Accept(Floor{Epoch: 3}, []Entry{entry("b", 3, 1)})) // beside it
	close(d.wait)
	if err := <-done; err != nil || len(d.kept) <= before {
		t.Errorf("%v, %d bytes after %d", err, len(d.kept), before)
	}
	d.entered, d.wait = nil, nil
	if err := l.Failing(); err != nil {
		t.Errorf("and again: %v", err)
	}
}

// TestUnwrittenFence: that something else can be written again says nothing of a fence that could not.
func TestUnwrittenFence(t *testing.T) {
	d := &failing{}
	l, _ := open(t, d, "boot-1")
	d.full = true
	if err := l.Fence(entry("f", 1, 1)); err == nil {
		t.Fatal("fenced on a full disk")
	}
	d.full = false
	must(t, l.Accept(Floor{Epoch: 2}, []Entry{entry("a", 2, 1)}))
	must(t, l.Failing())
	if again, _ := open(t, &Memory{kept: d.kept}, "boot-1"); len(again.In(Fenced)) != 1 {
		t.Error("the fence was not written")
	}
}

// TestOpenOnAFullDisk: what cannot be written anew is gone on with as it is, and fails until it can be
// written; what is appended then comes behind the last whole line. A ledger that is new has to be written.
func TestOpenOnAFullDisk(t *testing.T) {
	dir := t.TempDir()
	l, _ := open(t, file(t, dir), "boot-1")
	must(t, l.Settle(Floor{Epoch: 5}))
	must(t, l.Accept(Floor{Epoch: 7}, []Entry{entry("a", 7, 1)}))
	must(t, l.Fence(entry("f", 6, 1)))
	must(t, l.Close())
	path := filepath.Join(dir, fileName)
	content, err := os.ReadFile(path)
	must(t, err)
	must(t, os.WriteFile(path, append(content, "0123abcd b torn"...), 0o600))
	next := filepath.Join(dir, nextName)
	must(t, os.Mkdir(next, 0o700)) // in the way of the new one

	l, found := open(t, file(t, dir), "boot-1")
	if found.Unwritten == nil || !l.Long() {
		t.Errorf("%+v, it is to be compacted: %t", found, l.Long())
	}
	if e, ok := l.Find("a"); !ok || e.Generation != 1 || len(l.In(Fenced)) != 1 || l.Floor().Epoch != 7 || l.Doubt() {
		t.Errorf("a is %+v, fenced are %v, the floor is %+v, doubt %t", e, l.In(Fenced), l.Floor(), l.Doubt())
	}
	must(t, l.Accept(Floor{Epoch: 8}, []Entry{entry("b", 8, 1)}))
	if err := l.Compact(); err == nil {
		t.Error("compacted into a directory")
	}
	must(t, os.Remove(next))
	must(t, l.Compact())
	must(t, l.Accept(Floor{Epoch: 9}, []Entry{entry("c", 9, 1)}))
	must(t, l.Close())
	l, found = open(t, file(t, dir), "boot-1")
	if found != (Found{}) || len(l.In(Accepted)) != 3 || len(l.In(Fenced)) != 1 {
		t.Errorf("afterwards %+v, accepted %v", found, l.In(Accepted))
	}
	must(t, l.Close())

	fresh := t.TempDir()
	must(t, os.Mkdir(filepath.Join(fresh, nextName), 0o700))
	if _, _, err := Open(file(t, fresh), "boot-1"); err == nil {
		t.Error("a new ledger that cannot be written is opened")
	}
}

// TestFullDiskSaysSo: the ledger that could not be written anew says so for as long as nothing can be
// written, and that it is of another boot once something can.
func TestFullDiskSaysSo(t *testing.T) {
	kept := &Memory{}
	l, _ := open(t, kept, "boot-1")
	must(t, l.Settle(Floor{Epoch: 5}))
	d := &fuller{failing{Memory: Memory{kept: kept.kept}, full: true}}
	l, found := open(t, d, "boot-2")
	if !found.Rebooted || found.Unwritten == nil || l.Failing() == nil || l.Accept(Floor{Epoch: 6}, nil) == nil {
		t.Fatalf("%+v, it fails: %v", found, l.Failing())
	}
	d.full = false
	must(t, l.Failing())
	l, found = open(t, &Memory{kept: d.kept}, "boot-2")
	if found != (Found{}) || !l.Doubt() || l.Floor().Epoch != 5 {
		t.Errorf("%+v, doubt %t, floor %+v", found, l.Doubt(), l.Floor())
	}
}

// fuller takes no whole ledger either.
type fuller struct{ failing }

func (f *fuller) Prepare(all []byte) error {
	if f.full {
		return errors.New("no space left")
	}
	return f.Memory.Prepare(all)
}
