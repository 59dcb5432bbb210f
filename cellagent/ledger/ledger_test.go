package ledger

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/grafos/grafos/api"
)

func entry(id string, epoch, generation uint64) Entry {
	return Entry{
		Lease: api.LeaseID(id), Epoch: epoch, Generation: generation, Tenant: "acme", Kind: api.KindMem, Use: api.UseRegion,
		Amount: 4096, BootID: "boot-1", Deadline: 1000 + int64(generation), Phase: Accepted,
	}
}

func open(t *testing.T, d Disk, boot string) (*Ledger, Found) {
	t.Helper()
	l, found, err := Open(d, boot)
	if err != nil {
		t.Fatal(err)
	}
	return l, found
}

func file(t *testing.T, dir string) *File {
	t.Helper()
	f, err := OpenFile(dir)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestReopen: what was accepted, ended, fenced and lifted is known to the next agent, however the
// one before ended.
func TestReopen(t *testing.T) {
	for _, closed := range []bool{false, true} {
		t.Run(fmt.Sprintf("closed is %t", closed), func(t *testing.T) {
			dir := t.TempDir()
			l, found := open(t, file(t, dir), "boot-1")
			if !found.Fresh || !l.Doubt() {
				t.Errorf("a new ledger: %+v, doubt %t", found, l.Doubt())
			}
			must(t, l.Settle(Floor{Epoch: 5}))
			must(t, l.Accept(Floor{Cluster: 1, Epoch: 12}, []Entry{entry("a", 10, 1), entry("b", 11, 1), entry("odd \"\n\x00é", 12, 1)}))
			must(t, l.Accept(Floor{Cluster: 1, Epoch: 12}, []Entry{entry("a", 10, 2)}))
			l.End("b", 11)
			fenced := entry("f", 9, 3)
			fenced.Path, fenced.Reason = "/var/lib/x y", "it would not:\nno"
			must(t, l.Fence(fenced))
			must(t, l.Know("f", 4))
			must(t, l.Know("f", 2))
			fenced.Known = 5
			must(t, l.Fence(entry("g", 8, 1)))
			must(t, l.Lift("g"))
			if closed {
				must(t, l.Close())
			}
			l, found = open(t, file(t, dir), "boot-1")
			if found != (Found{}) || l.Doubt() || l.Floor() != (Floor{Cluster: 1, Epoch: 12}) {
				t.Errorf("reopened: %+v, doubt %t, floor %+v", found, l.Doubt(), l.Floor())
			}
			want := []Entry{entry("a", 10, 2), entry("odd \"\n\x00é", 12, 1)}
			if !closed { // an end has no hurry
				want = []Entry{want[0], entry("b", 11, 1), want[1]}
			}
			if diff := cmp.Diff(want, l.In(Accepted)); diff != "" {
				t.Errorf("accepted (-want +got):\n%s", diff)
			}
			fenced.Phase = Fenced
			if diff := cmp.Diff([]Entry{fenced}, l.In(Fenced)); diff != "" {
				t.Errorf("fenced (-want +got):\n%s", diff)
			}
		})
	}
}

// TestDamage: whatever one byte of the file becomes, no floor, generation or fence comes out
// lower without the ledger saying that it is in doubt, or, of a fence, that lines are missing.
func TestDamage(t *testing.T) {
	d := &Memory{}
	l, _ := open(t, d, "boot-1")
	must(t, l.Settle(Floor{}))
	must(t, l.Accept(Floor{Cluster: 1, Epoch: 10}, []Entry{entry("a", 10, 1)}))
	must(t, l.Fence(entry("f", 9, 1)))
	must(t, l.Accept(Floor{Cluster: 2, Epoch: 20}, []Entry{entry("a", 10, 2), entry("b", 20, 1)}))
	good := string(d.kept)
	check := func(what, content string) {
		got, found := open(t, &Memory{kept: []byte(content)}, "boot-1")
		e, _ := got.Find("a")
		lower := got.Floor() != (Floor{Cluster: 2, Epoch: 20}) || e.Generation < 2 || len(got.In(Fenced)) != 1 || len(got.In(Accepted)) != 2
		if lower && (!got.Doubt() || found.Damaged == 0) {
			t.Fatalf("%s: floor %+v, a %+v, found %+v, doubt %t", what, got.Floor(), e, found, got.Doubt())
		}
		if got.Floor().Above(Floor{Cluster: 2, Epoch: 20}) {
			t.Fatalf("%s: the floor rose to %+v", what, got.Floor())
		}
	}
	for i := range len(good) - 1 { // the last line feed is looked at below
		for _, bit := range []byte{1, 4, 0x80} {
			check(fmt.Sprintf("bit %d of byte %d", bit, i), good[:i]+string([]byte{good[i] ^ bit})+good[i+1:])
		}
	}
	lines := strings.SplitAfter(good, "\n")
	last := len(good) - len(lines[len(lines)-2])
	for cut := last; cut < len(good); cut++ {
		got, found := open(t, &Memory{kept: []byte(good[:cut])}, "boot-1")
		if found.Damaged != 0 || got.Doubt() {
			t.Fatalf("a line that was cut short after %d bytes: %+v, doubt %t", cut-last, found, got.Doubt())
		}
	}
	if got, found := open(t, &Memory{kept: []byte(good)}, "boot-2"); !found.Rebooted || !got.Doubt() || got.Floor().Epoch != 20 {
		t.Errorf("after a reboot: %+v, doubt %t, floor %+v", found, got.Doubt(), got.Floor())
	}
}

// TestDoubtStays until a registration has raised the floor, whoever dies meanwhile.
func TestDoubtStays(t *testing.T) {
	dir := t.TempDir()
	for range 3 {
		l, _ := open(t, file(t, dir), "boot-1")
		if !l.Doubt() {
			t.Fatal("the doubt is gone by itself")
		}
	}
	l, _ := open(t, file(t, dir), "boot-1")
	must(t, l.Settle(Floor{Cluster: 3, Epoch: 70}))
	l, _ = open(t, file(t, dir), "boot-1")
	if l.Doubt() || l.Floor() != (Floor{Cluster: 3, Epoch: 70}) {
		t.Errorf("doubt %t, floor %+v", l.Doubt(), l.Floor())
	}
}

// failing is a disk that is full.
type failing struct {
	Memory
	full bool
}

func (f *failing) Append(p []byte) error {
	if f.full {
		return errors.New("no space left")
	}
	return f.Memory.Append(p)
}

// TestFullDisk: what cannot be kept is not accepted, and a fence counts all the same.
func TestFullDisk(t *testing.T) {
	d := &failing{}
	l, _ := open(t, d, "boot-1")
	d.full = true
	if err := l.Accept(Floor{Epoch: 9}, []Entry{entry("a", 9, 1)}); err == nil || l.Failing() == nil {
		t.Error("accepted on a full disk")
	}
	if _, ok := l.Find("a"); ok || l.Floor() != (Floor{}) {
		t.Error("what was not kept is known")
	}
	if err := l.Fence(entry("f", 8, 1)); err == nil {
		t.Error("fenced on a full disk")
	}
	if len(l.In(Fenced)) != 1 {
		t.Error("the fence does not count")
	}
	if l.Failing() == nil {
		t.Error("a full disk does not fail")
	}
	d.full = false
	// Nobody gives anything to a cell that fails: it finds out by itself, and writes the fence.
	if err := l.Failing(); err != nil {
		t.Errorf("the disk is free again: %v", err)
	}
	if again, _ := open(t, &Memory{kept: bytes.Clone(d.kept)}, "boot-1"); len(again.In(Fenced)) != 1 {
		t.Error("the fence was not written")
	}
	if err := l.Accept(Floor{Epoch: 9}, []Entry{entry("a", 9, 1)}); err != nil || l.Failing() != nil {
		t.Errorf("with space again: %v", err)
	}
}

// TestBounded: the file does not grow with the leases that came and went, and what counts
// survives its compactions, also what is written beside one.
func TestBounded(t *testing.T) {
	dir := t.TempDir()
	l, _ := open(t, file(t, dir), "boot-1")
	must(t, l.Settle(Floor{}))
	must(t, l.Accept(Floor{Epoch: 1}, []Entry{entry("stays", 1, 1)}))
	must(t, l.Fence(entry("fence", 1, 1)))
	var wg sync.WaitGroup
	const n = 30_000
	for i := range n {
		id := fmt.Sprintf("lease-%d", i)
		must(t, l.Accept(Floor{Epoch: uint64(i + 2)}, []Entry{entry(id, uint64(i+2), 1)}))
		l.End(api.LeaseID(id), uint64(i+2))
		if l.Long() {
			wg.Go(func() {
				if err := l.Compact(); err != nil {
					t.Error(err)
				}
			})
		}
	}
	wg.Wait()
	for l.Long() { // what came beside a compaction on a slow disk
		must(t, l.Compact())
	}
	must(t, l.Close())
	stat, err := os.Stat(filepath.Join(dir, fileName))
	must(t, err)
	if stat.Size() > compactAt+idleMost {
		t.Errorf("the file has %d bytes", stat.Size())
	}
	l, found := open(t, file(t, dir), "boot-1")
	if found != (Found{}) || l.Floor().Epoch != n+1 || len(l.In(Accepted)) != 1 || len(l.In(Fenced)) != 1 {
		t.Errorf("found %+v, floor %+v, accepted %d, fenced %d", found, l.Floor(), len(l.In(Accepted)), len(l.In(Fenced)))
	}
	must(t, l.Close())
}

// TestLedgerProperty: whatever is done and whenever the agent dies, the next one knows at least
// what was accepted, and every fence that was not lifted.
func TestLedgerProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := &Memory{}
		l, _, err := Open(d, "boot-1")
		if err != nil {
			t.Fatal(err)
		}
		floor, epoch := Floor{}, uint64(0)
		highest, fences := map[api.LeaseID]uint64{}, map[api.LeaseID]bool{}
		live := func() (list []api.LeaseID) {
			for _, e := range l.In(Accepted) {
				list = append(list, e.Lease)
			}
			return list
		}
		pick := func(t *rapid.T) (Entry, bool) {
			list := live()
			if len(list) == 0 {
				return Entry{}, false
			}
			return l.Find(rapid.SampledFrom(list).Draw(t, "lease"))
		}
		t.Repeat(map[string]func(*rapid.T){
			"accept": func(t *rapid.T) {
				epoch++
				floor = floor.Raise(Floor{Epoch: epoch})
				e := entry(fmt.Sprintf("l%d", epoch), epoch, 1)
				if err := l.Accept(floor, []Entry{e}); err != nil {
					t.Fatal(err)
				}
				highest[e.Lease] = 1
			},
			"renew": func(t *rapid.T) {
				if e, ok := pick(t); ok {
					e.Generation++
					highest[e.Lease] = e.Generation
					if err := l.Accept(floor, []Entry{e}); err != nil {
						t.Fatal(err)
					}
				}
			},
			"end": func(t *rapid.T) {
				if e, ok := pick(t); ok {
					delete(highest, e.Lease)
					l.End(e.Lease, e.Epoch)
				}
			},
			"fence": func(t *rapid.T) {
				if e, ok := pick(t); ok {
					delete(highest, e.Lease)
					fences[e.Lease] = true
					if err := l.Fence(e); err != nil {
						t.Fatal(err)
					}
				}
			},
			"lift": func(t *rapid.T) {
				if list := l.In(Fenced); len(list) > 0 {
					delete(fences, list[0].Lease)
					if err := l.Lift(list[0].Lease); err != nil {
						t.Fatal(err)
					}
				}
			},
			"compact": func(t *rapid.T) {
				if err := l.Compact(); err != nil {
					t.Fatal(err)
				}
			},
			"die": func(t *rapid.T) {
				if l, _, err = Open(d, "boot-1"); err != nil {
					t.Fatal(err)
				}
			},
			"": func(t *rapid.T) {
				if l.Floor() != floor {
					t.Fatalf("floor %+v, want %+v", l.Floor(), floor)
				}
				for id, generation := range highest {
					if e, ok := l.Find(id); !ok || e.Generation != generation {
						t.Fatalf("lease %s: %+v, want generation %d", id, e, generation)
					}
				}
				if got := l.In(Fenced); len(got) != len(fences) {
					t.Fatalf("fenced %v, want %v", got, fences)
				}
			},
		})
	})
}

// FuzzLedger: nothing in a file makes the reader fall, and what it reads it writes so that it
// reads the same.
func FuzzLedger(f *testing.F) {
	f.Add([]byte(""))
	d := &Memory{}
	l, _, err := Open(d, "boot-1")
	if err != nil {
		f.Fatal(err)
	}
	e := entry("f", 9, 1)
	e.Path, e.Reason = "/p", "a \"reason\""
	if err := errors.Join(l.Accept(Floor{1, 2}, []Entry{entry("a", 2, 1)}), l.Fence(e), l.Lift("f")); err != nil {
		f.Fatal(err)
	}
	f.Add(d.kept)
	f.Fuzz(func(t *testing.T, content []byte) {
		b := newBook()
		read(b, content)
		b.raise(b.floor)
		again := newBook()
		if n := read(again, b.lines()); n != 0 {
			t.Fatalf("%d lines of its own cannot be read: %q", n, b.lines())
		}
		again.raise(again.floor)
		if string(again.lines()) != string(b.lines()) {
			t.Fatalf("read again it is\n%s, was\n%s", again.lines(), b.lines())
		}
	})
}

// FuzzBody goes past the checksum.
func FuzzBody(f *testing.F) {
	f.Add("b a 1 1 t mem region \"\" 5 boot 7")
	f.Add("l \"\\n\" 4")
	f.Fuzz(func(t *testing.T, text string) {
		if text == "" {
			return
		}
		b := newBook()
		if b.take(text) != nil {
			return
		}
		b.raise(b.floor)
		again := newBook()
		if n := read(again, b.lines()); n != 0 {
			t.Fatalf("%q: %d lines of its own cannot be read: %q", text, n, b.lines())
		}
	})
}

// BenchmarkAccept is what a grant costs more on its cell.
func BenchmarkAccept(b *testing.B) {
	f, err := OpenFile(b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	l, _, err := Open(f, "boot-1")
	if err != nil {
		b.Fatal(err)
	}
	n := uint64(0)
	for b.Loop() {
		n++
		id := fmt.Sprintf("lease-%d", n)
		if err := l.Accept(Floor{Epoch: n}, []Entry{entry(id, n, 1)}); err != nil {
			b.Fatal(err)
		}
		l.End(api.LeaseID(id), n)
		if l.Long() {
			if err := l.Compact(); err != nil {
				b.Fatal(err)
			}
		}
	}
}
