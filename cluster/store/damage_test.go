package store

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/grafos/grafos/api"
)

// history is what a store was given: everything that may be asked of it again.
type history struct {
	dir       string
	first     uint64
	entries   []raft.Log // by index, from 1
	snapshots map[string][]byte
	newest    string
}

// realistic fills a store as a scheduler does: entries of mixed sizes, one at a time and in
// groups, votes, two snapshots, a compaction, a conflict that cut off the end.
func realistic(t *testing.T, o Options) *history {
	t.Helper()
	h := &history{dir: filepath.Join(scratch(t), "raft"), snapshots: map[string][]byte{}}
	r := rand.New(rand.NewPCG(7, 7))
	s := openStore(t, h.dir, o)
	vote(t, s.Log, 1, "s2-bbbbbb")
	grow := func(to int, term uint64) {
		for len(h.entries) < to {
			var batch []*raft.Log
			for range 1 + r.IntN(40) {
				size := []int{0, 1, r.IntN(64), r.IntN(600), r.IntN(600), r.IntN(4000)}[r.IntN(6)]
				e := entry(uint64(len(h.entries)+1), term, "")
				e.Data = make([]byte, size)
				for i := range e.Data {
					e.Data[i] = byte(r.Uint32())
				}
				if size == 0 {
					e.Data, e.Type = nil, raft.LogNoop
				}
				batch = append(batch, e)
				h.entries = append(h.entries, *e)
			}
			must(t, s.Log.StoreLogs(batch))
		}
	}
	save := func(index uint64) {
		k, err := s.Snapshots.Create(1, index, h.entries[index-1].Term, raft.Configuration{Servers: []raft.Server{{ID: "s1", Address: "a:1"}}}, 1, nil)
		must(t, err)
		b := bytes.Repeat(fmt.Appendf(nil, "lease %d;", index), 10_000+r.IntN(1000))
		_, err = k.Write(b)
		must(t, err)
		must(t, k.Close())
		h.snapshots[k.ID()], h.newest = b, k.ID()
	}
	grow(700, 1)
	save(500)
	vote(t, s.Log, 2, "s1-aaaaaa")
	grow(1500, 2)
	must(t, s.Log.DeleteRange(1400, uint64(len(h.entries))))
	h.entries = h.entries[:1399]
	vote(t, s.Log, 4, "s3-cccccc")
	grow(2300, 4)
	save(2000)
	h.first = 601
	must(t, s.Log.DeleteRange(1, h.first-1))
	grow(2700, 4)
	must(t, s.Close())
	return h
}

// check opens the store in dir and reads everything back. nil is: as it was written.
func (h *history) check(dir string, o Options) (opened bool, err error) {
	s, err := Open(dir, o)
	if err != nil {
		return false, err
	}
	return true, errors.Join(h.read(s), s.Close())
}

func (h *history) read(s *Store) error {
	first, _ := s.Log.FirstIndex()
	last, _ := s.Log.LastIndex()
	if first != h.first || last != uint64(len(h.entries)) {
		return fmt.Errorf("log holds %d to %d, want %d to %d", first, last, h.first, len(h.entries))
	}
	for i := first; i <= last; i++ {
		var got raft.Log
		if err := s.Log.GetLog(i, &got); err != nil {
			return err
		}
		if want := h.entries[i-1]; got.Term != want.Term || got.Type != want.Type || got.Index != i || !bytes.Equal(got.Data, want.Data) || !got.AppendedAt.Equal(want.AppendedAt) {
			return fmt.Errorf("entry %d is another", i)
		}
	}
	if err := h.checkVote(s.Log); err != nil {
		return err
	}
	metas, err := s.Snapshots.List()
	if err != nil {
		return err
	}
	if len(metas) != 1 || metas[0].ID != h.newest {
		return fmt.Errorf("it starts from %v", metas)
	}
	for id, want := range h.snapshots {
		_, r, err := s.Snapshots.Open(id)
		if err != nil {
			return err
		}
		b, err := io.ReadAll(r)
		if err := errors.Join(err, r.Close()); err != nil {
			return err
		}
		if !bytes.Equal(b, want) {
			return fmt.Errorf("snapshot %s is another", id)
		}
	}
	return nil
}

func (h *history) checkVote(l *Log) error {
	term, err1 := l.GetUint64([]byte("CurrentTerm"))
	voted, err2 := l.GetUint64([]byte("LastVoteTerm"))
	cand, err3 := l.Get([]byte("LastVoteCand"))
	if err := errors.Join(err1, err2, err3); err != nil {
		return err
	}
	if term != 4 || voted != 4 || string(cand) != "s3-cccccc" {
		return fmt.Errorf("term %d, vote for %s in %d", term, cand, voted)
	}
	return nil
}

// damage changes one file of dir at random and says what it did.
func damage(r *rand.Rand, dir string) (string, error) {
	path, err := pick(r, dir)
	if err != nil {
		return "", err
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	what := fmt.Sprintf("%s (%d bytes): ", strings.TrimPrefix(path, dir+"/"), len(b))
	pages := max(1, len(b)/4096)
	at := 4096 * r.IntN(pages)
	page := b[at:min(at+4096, len(b))]
	switch r.IntN(8) {
	case 0, 1, 2:
		i := r.IntN(len(b))
		b[i] ^= 1 << r.IntN(8)
		what += fmt.Sprintf("a bit of byte %d", i)
	case 3:
		i := r.IntN(len(b))
		n := min(1+r.IntN(16), len(b)-i)
		for j := range n {
			b[i+j] = byte(r.Uint32())
		}
		what += fmt.Sprintf("%d bytes from %d on", n, i)
	case 4:
		n := r.IntN(len(b))
		b = b[:n]
		what += fmt.Sprintf("cut to %d", n)
	case 5:
		clear(page)
		what += fmt.Sprintf("zeros from %d on", at)
	case 6:
		for i := range page {
			page[i] = byte(r.Uint32())
		}
		what += fmt.Sprintf("noise from %d on", at)
	case 7:
		from := 4096 * r.IntN(pages)
		copy(page, b[from:min(from+4096, len(b))])
		what += fmt.Sprintf("the page at %d in place of the one at %d", from, at)
	}
	return what, os.WriteFile(path, b, 0o600)
}

// pick chooses a file: of the log more often than of what lies beside it.
func pick(r *rand.Rand, dir string) (string, error) {
	groups := [][]string{
		{"raft.db", "raft.wal/*.wal"},
		{"raft.db", "raft.wal/*.wal"},
		{"raft.db", "raft.wal/*.wal"},
		{"raft.db", "raft.wal/meta", "raft.wal/values"},
		{"raft.*.votes"},
		{"raft.*.mark"},
		{"snapshots/*.snap"},
		{"snapshots/*.snap"},
		{"storage.json"},
	}
	var files []string
	for _, pattern := range groups[r.IntN(len(groups))] {
		match, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil {
			return "", err
		}
		files = append(files, match...)
	}
	return files[r.IntN(len(files))], nil
}

// tally counts how the damages of a run ended.
type tally struct {
	mu                   sync.Mutex
	open, read, harmless int
	silent               []string
}

func (c *tally) add(what string, opened bool, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, refused := api.AsError(err)
	switch {
	case err == nil:
		c.harmless++
	case !suspect(err) && !refused:
		c.silent = append(c.silent, fmt.Sprintf("%s: %v", what, err))
	case opened:
		c.read++
	default:
		c.open++
	}
}

// envInt returns the number in an environment variable, or def.
func envInt(t *testing.T, name string, def int) int {
	t.Helper()
	if s := os.Getenv(name); s != "" {
		n, err := strconv.Atoi(s)
		must(t, err)
		return n
	}
	return def
}

// TestDamageIsNeverSilent damages a realistic store, one file and one place at a time. Each
// damage must be named when the store is opened or when it is read, or change nothing.
// GRAFOS_DAMAGES is how many for each kind of log, GRAFOS_SEED repeats a run.
func TestDamageIsNeverSilent(t *testing.T) {
	n := envInt(t, "GRAFOS_DAMAGES", 200)
	if testing.Short() {
		n = 40
	}
	seed := envInt(t, "GRAFOS_SEED", int(time.Now().UnixNano()&0xffffff))
	for _, kind := range kinds() {
		t.Run(string(kind), func(t *testing.T) {
			_, o := dirOf(t, kind)
			o.segmentSize = 128 << 10
			h := realistic(t, o)
			copyTree(t, h.dir, h.dir+".copy")
			if _, err := h.check(h.dir+".copy", o); err != nil {
				t.Fatalf("the store is not as it was written: %v", err)
			}
			var count tally
			var wg sync.WaitGroup
			work, place := make(chan int), scratch(t)
			for range runtime.GOMAXPROCS(0) {
				wg.Go(func() {
					for i := range work {
						dir := filepath.Join(place, strconv.Itoa(i))
						copyTree(t, h.dir, dir)
						what, err := damage(rand.New(rand.NewPCG(uint64(seed), uint64(i))), dir)
						if err != nil {
							t.Error(err)
							continue
						}
						what = fmt.Sprintf("GRAFOS_SEED=%d, damage %d, %s", seed, i, what)
						opened, err := h.check(dir, o)
						count.add(what, opened, err)
						if err := os.RemoveAll(dir); err != nil {
							t.Error(err)
						}
					}
				})
			}
			for i := range n {
				work <- i
			}
			close(work)
			wg.Wait()
			t.Logf("seed %d: %d damages of %d entries and %d snapshots: %d named at the start, %d when read, %d harmless, %d silent",
				seed, n, len(h.entries)-int(h.first)+1, len(h.snapshots), count.open, count.read, count.harmless, len(count.silent))
			slices.Sort(count.silent)
			for _, s := range count.silent {
				t.Error(s)
			}
			if count.open+count.read < n/2 {
				t.Errorf("only %d of %d damages were named", count.open+count.read, n)
			}
		})
	}
}

// scratch is a directory in memory where there is one: for what is about the content of
// files, and not about disks.
func scratch(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "grafos-store-*") //nolint:usetesting // in memory
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { must(t, os.RemoveAll(dir)) })
	return dir
}
