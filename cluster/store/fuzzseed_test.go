package store

import (
	"bytes"
	"encoding/binary"
	"hash/fnv"
	"os"
	"path/filepath"
	"testing"

	"go.etcd.io/bbolt"
)

// boltSeed is a bolt file of small pages that holds what a log does.
func boltSeed(f *testing.F) []byte {
	f.Helper()
	path := filepath.Join(f.TempDir(), "seed.db")
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{PageSize: 512, NoFreelistSync: true})
	if err != nil {
		f.Fatal(err)
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		for _, name := range []string{bucketLogs, bucketConf} {
			b, err := tx.CreateBucket([]byte(name))
			if err != nil {
				return err
			}
			for i := range uint64(12) {
				if err := b.Put(key(i), bytes.Repeat([]byte{byte(i)}, 50)); err != nil {
					return err
				}
			}
		}
		return nil
	})
	if err != nil {
		f.Fatal(err)
	}
	if err := db.Close(); err != nil {
		f.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	m, err := readBoltMeta(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		f.Fatal(err)
	}
	return b[:int64(m.pages)*m.pageSize]
}

// mendMetas makes the checksums of both meta pages fit.
func mendMetas(b []byte) {
	at := 0
	for range 2 {
		if at+boltPageHead+boltMetaLen > len(b) {
			return
		}
		meta := b[at+boltPageHead : at+boltPageHead+boltMetaLen]
		sum := fnv.New64a()
		sum.Write(meta[:boltMetaLen-8])
		binary.NativeEndian.PutUint64(meta[boltMetaLen-8:], sum.Sum64())
		at += int(binary.NativeEndian.Uint32(meta[8:])) & 0xfffff
		if at == 0 {
			return
		}
	}
}
