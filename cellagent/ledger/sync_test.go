package ledger

import (
	"errors"
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
