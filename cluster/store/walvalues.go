package store

import (
	"bytes"
	"fmt"
	"path/filepath"
	"sync"

	raftboltdb "github.com/hashicorp/raft-boltdb/v2"
)

// walValues are the stable values of a WAL as they are stored, sealed: the first copy, in a
// file of the same two slots as the second. A slot that does not verify is the one that was
// being written, or was damaged; the values are then those of the generation before, and the
// second copy knows better or does not.
type walValues struct {
	f *votes

	mu  sync.Mutex
	cur values // guarded by mu
}

func walValuesPath(dir string) string { return filepath.Join(dir, "values") }

func openWALValues(dir string) (*walValues, error) {
	path := walValuesPath(dir)
	c, ok, err := readVotes(path)
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, &CorruptError{File: path, Why: "it is gone"}
	}
	f, err := openVotes(path)
	if err != nil {
		return nil, err
	}
	return &walValues{f: f, cur: c.values}, nil
}

// stored returns all values, sealed.
func (w *walValues) stored() map[string][]byte {
	w.mu.Lock()
	defer w.mu.Unlock()
	all := map[string][]byte{}
	for key, v := range w.cur.held {
		all[key] = v.bytes
	}
	return all
}

// Set returns when the sealed value is on disk.
func (w *walValues) Set(key, sealed []byte) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	next := w.cur.with(string(key), sealed)
	if err := w.f.write(next); err != nil {
		return err
	}
	w.cur = next
	return nil
}

// Get reads a value from the disk, raftboltdb.ErrKeyNotFound where there is none.
func (w *walValues) Get(key []byte) ([]byte, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	b := make([]byte, slotLen)
	if _, err := w.f.f.ReadAt(b, int64(w.cur.generation%2)*slotLen); err != nil {
		return nil, fmt.Errorf("read %s: %w", w.f.path, err)
	}
	v, err := parseSlot(b, w.cur.generation%2)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", w.f.path, err)
	}
	held, ok := v.held[string(key)]
	if !ok {
		return nil, raftboltdb.ErrKeyNotFound
	}
	return bytes.Clone(held.bytes), nil
}
