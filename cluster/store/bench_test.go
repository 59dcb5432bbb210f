package store

import (
	"bytes"
	"path/filepath"
	"testing"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
)

func benchLog(b *testing.B, kind Kind) *Log {
	b.Helper()
	l, err := OpenLog(logPath(b.TempDir(), kind), LogOptions{Kind: kind, Log: hclog.NewNullLogger()})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := l.Close(); err != nil {
			b.Error(err)
		}
	})
	return l
}

// BenchmarkVote is what Raft stores to vote: a term, and for whom; once as the log alone
// would, and once with the second copy.
func BenchmarkVote(b *testing.B) {
	b.Run("boltdb/alone", func(b *testing.B) {
		bolt, err := boltOpen(filepath.Join(b.TempDir(), "raft.db"), false)
		if err != nil {
			b.Fatal(err)
		}
		defer bolt.Close() //nolint:errcheck // the benchmark is over
		for i := uint64(0); b.Loop(); i++ {
			for _, k := range []string{"CurrentTerm", "LastVoteTerm"} {
				if err := bolt.Set([]byte(k), sealValue([]byte(k), i+2, key(i))); err != nil {
					b.Fatal(err)
				}
			}
			if err := bolt.Set([]byte("LastVoteCand"), sealValue([]byte("LastVoteCand"), i+2, key(i%3))); err != nil {
				b.Fatal(err)
			}
		}
	})
	for _, kind := range kinds() {
		b.Run(string(kind), func(b *testing.B) {
			l := benchLog(b, kind)
			for i := uint64(1); b.Loop(); i++ {
				for k, v := range map[string][]byte{"CurrentTerm": key(i), "LastVoteTerm": key(i), "LastVoteCand": key(i % 3)} {
					if err := l.Set([]byte(k), v); err != nil {
						b.Fatal(err)
					}
				}
			}
		})
	}
}

// BenchmarkAppend appends one entry of 512 bytes at a time.
func BenchmarkAppend(b *testing.B) {
	data := bytes.Repeat([]byte("x"), 512)
	for _, kind := range kinds() {
		b.Run(string(kind), func(b *testing.B) {
			l := benchLog(b, kind)
			if err := l.SetUint64([]byte(keyTerm), 1); err != nil {
				b.Fatal(err)
			}
			for i := uint64(1); b.Loop(); i++ {
				if err := l.StoreLog(&raft.Log{Index: i, Term: 1, Data: data}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkMark is what an append pays for the mark.
func BenchmarkMark(b *testing.B) {
	path := filepath.Join(b.TempDir(), "mark")
	if err := createMark(path, mark{}); err != nil {
		b.Fatal(err)
	}
	m, err := openMark(path, mark{})
	if err != nil {
		b.Fatal(err)
	}
	defer m.close() //nolint:errcheck // the benchmark is over
	for i := uint64(1); b.Loop(); i++ {
		if err := m.entry(i, uint32(i), false); err != nil {
			b.Fatal(err)
		}
	}
}
