package store

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
)

// This file reads a bolt file (format version 2) without bolt. Bolt maps the file and
// follows what it finds: a truncated file is a fault of the processor, a page that points
// to its own parent is a loop without end, and an unreadable newest meta page silently
// brings back the transaction before the last one. None of that can be caught from
// outside, so the file is walked here, by plain bounded reads, before bolt may open it.

const (
	boltMagic    = 0xED0CDAED
	boltVersion  = 2
	boltPageHead = 16
	boltElemLen  = 16
	boltMetaLen  = 64
	boltBranch   = 0x01
	boltLeaf     = 0x02
	boltBucket   = 0x01
	boltMaxDepth = 64
)

// boltWalk reads one file. visit is called for every pair of every bucket, in key order.
type boltWalk struct {
	r        io.ReaderAt
	pageSize int64
	pages    uint64 // high water mark: every page is below it
	seen     map[uint64]bool
	visit    func(bucket, key, value []byte) error
}

// walkBolt checks the structure of the bolt file behind r, size bytes long, and visits its
// pairs. Errors say what is wrong, in words.
func walkBolt(r io.ReaderAt, size int64, visit func(bucket, key, value []byte) error) error {
	m, err := readBoltMeta(r, size)
	if err != nil {
		return err
	}
	if need := int64(m.pages) * m.pageSize; size < need {
		return fmt.Errorf("it is truncated: %d bytes, its pages take %d", size, need)
	}
	w := &boltWalk{r: r, pageSize: m.pageSize, pages: m.pages, seen: map[uint64]bool{}, visit: visit}
	return w.page(m.root, 0, nil, bounds{})
}

type boltMeta struct {
	pageSize          int64
	root, pages, txid uint64
}

// readBoltMeta demands that both meta pages are whole: when one is not, nobody can tell
// whether it was the newest.
func readBoltMeta(r io.ReaderAt, size int64) (boltMeta, error) {
	first, err := readOneMeta(r, 0, size)
	if err != nil {
		return boltMeta{}, fmt.Errorf("meta page 0: %w", err)
	}
	second, err := readOneMeta(r, first.pageSize, size)
	if err != nil {
		return boltMeta{}, fmt.Errorf("meta page 1: %w", err)
	}
	if second.pageSize != first.pageSize {
		return boltMeta{}, errors.New("its meta pages disagree about the page size")
	}
	if second.txid > first.txid {
		return second, nil
	}
	return first, nil
}

func readOneMeta(r io.ReaderAt, off, size int64) (boltMeta, error) {
	b := make([]byte, boltPageHead+boltMetaLen)
	if off+int64(len(b)) > size {
		return boltMeta{}, fmt.Errorf("the file ends after %d bytes", size)
	}
	if _, err := r.ReadAt(b, off); err != nil {
		return boltMeta{}, fmt.Errorf("read it: %w", err)
	}
	b = b[boltPageHead:]
	ne := binary.NativeEndian
	sum := fnv.New64a()
	sum.Write(b[:boltMetaLen-8])
	switch {
	case ne.Uint32(b) != boltMagic:
		return boltMeta{}, errors.New("it is not bolt's")
	case ne.Uint32(b[4:]) != boltVersion:
		return boltMeta{}, fmt.Errorf("bolt format %d, this release knows %d", ne.Uint32(b[4:]), boltVersion)
	case ne.Uint64(b[56:]) != sum.Sum64():
		return boltMeta{}, errors.New("its checksum does not match")
	}
	m := boltMeta{pageSize: int64(ne.Uint32(b[8:])), root: ne.Uint64(b[16:]), pages: ne.Uint64(b[40:]), txid: ne.Uint64(b[48:])}
	if m.pageSize < 512 || m.pageSize > 1<<20 || m.pages > 1<<40 {
		return boltMeta{}, errors.New("its sizes make no sense")
	}
	return m, nil
}

// bounds are what a page's keys must lie within: from low, below high. Nil is open.
type bounds struct{ low, high []byte }

func (b bounds) hold(key []byte) bool {
	return (b.low == nil || bytes.Compare(key, b.low) >= 0) && (b.high == nil || bytes.Compare(key, b.high) < 0)
}

// page reads the page id with its overflow and walks what it holds.
func (w *boltWalk) page(id uint64, depth int, bucket []byte, in bounds) error {
	if id < 2 || id >= w.pages || w.seen[id] {
		return fmt.Errorf("page %d is referred to but is no page of its own", id)
	}
	if depth > boltMaxDepth {
		return fmt.Errorf("page %d lies too deep", id)
	}
	w.seen[id] = true
	head := make([]byte, boltPageHead)
	if _, err := w.r.ReadAt(head, int64(id)*w.pageSize); err != nil {
		return fmt.Errorf("read page %d: %w", id, err)
	}
	overflow := uint64(binary.NativeEndian.Uint32(head[12:]))
	if overflow >= w.pages-id {
		return fmt.Errorf("page %d says that it goes on for %d pages", id, overflow)
	}
	for next := id + 1; next <= id+overflow; next++ {
		if w.seen[next] {
			return fmt.Errorf("page %d belongs to two places", next)
		}
		w.seen[next] = true
	}
	b := make([]byte, int64(overflow+1)*w.pageSize)
	if _, err := w.r.ReadAt(b, int64(id)*w.pageSize); err != nil {
		return fmt.Errorf("read page %d: %w", id, err)
	}
	if got := binary.NativeEndian.Uint64(b); got != id {
		return fmt.Errorf("page %d says that it is page %d", id, got)
	}
	if err := w.elements(b, depth, bucket, in); err != nil {
		return fmt.Errorf("page %d: %w", id, err)
	}
	return nil
}

// elements walks the elements of one page, or of a bucket that stands inside a value.
func (w *boltWalk) elements(b []byte, depth int, bucket []byte, in bounds) error {
	if len(b) < boltPageHead {
		return errors.New("it is too short for a page")
	}
	ne := binary.NativeEndian
	kind, count := ne.Uint16(b[8:]), int(ne.Uint16(b[10:]))
	if kind != boltBranch && kind != boltLeaf {
		return fmt.Errorf("it is of kind %#x, neither branch nor leaf", kind)
	}
	if kind == boltBranch && count == 0 || boltPageHead+count*boltElemLen > len(b) {
		return fmt.Errorf("it cannot have %d elements", count)
	}
	keys, err := elementKeys(b, kind, count, in)
	if err != nil {
		return err
	}
	for i, key := range keys {
		at := boltPageHead + i*boltElemLen
		if kind == boltLeaf {
			err = w.leaf(b, at, depth, bucket, key)
		} else {
			child := bounds{low: key, high: in.high}
			if i+1 < count {
				child.high = keys[i+1]
			}
			err = w.page(ne.Uint64(b[at+8:]), depth+1, bucket, child)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// elementKeys reads the keys of one page, which must rise and lie within in.
func elementKeys(b []byte, kind uint16, count int, in bounds) ([][]byte, error) {
	ne := binary.NativeEndian
	keys := make([][]byte, count)
	for i := range keys {
		at := boltPageHead + i*boltElemLen
		pos, n := ne.Uint32(b[at:]), ne.Uint32(b[at+4:])
		if kind == boltLeaf {
			pos, n = n, ne.Uint32(b[at+8:])
		}
		key, err := span(b, at, int64(pos), n)
		if err != nil {
			return nil, err
		}
		if !in.hold(key) {
			return nil, fmt.Errorf("key %x is not where it belongs", key)
		}
		if i > 0 && bytes.Compare(keys[i-1], key) >= 0 {
			return nil, fmt.Errorf("key %x stands after key %x", key, keys[i-1])
		}
		keys[i] = key
	}
	return keys, nil
}

// leaf visits the leaf element at offset at, or walks the bucket that it is.
func (w *boltWalk) leaf(b []byte, at, depth int, bucket, key []byte) error {
	ne := binary.NativeEndian
	flags, pos, klen, vlen := ne.Uint32(b[at:]), ne.Uint32(b[at+4:]), ne.Uint32(b[at+8:]), ne.Uint32(b[at+12:])
	value, err := span(b, at, int64(pos)+int64(klen), vlen)
	if err != nil {
		return err
	}
	if flags&^uint32(boltBucket) != 0 || (flags == boltBucket) != (bucket == nil) {
		return fmt.Errorf("key %x has flags %#x", key, flags)
	}
	if flags != boltBucket {
		return w.visit(bucket, key, value)
	}
	if len(value) < 16 {
		return fmt.Errorf("bucket %q has no header", key)
	}
	if key == nil {
		key = []byte{}
	}
	if root := ne.Uint64(value); root != 0 {
		return w.page(root, depth+1, key, bounds{})
	}
	return w.elements(value[16:], depth+1, key, bounds{})
}

// span returns the n bytes that begin pos bytes after offset at.
func span(b []byte, at int, pos int64, n uint32) ([]byte, error) {
	from := int64(at) + pos
	if from+int64(n) > int64(len(b)) {
		return nil, errors.New("an element reaches beyond it")
	}
	return b[from : from+int64(n)], nil
}
