package fsm

import (
	"math/bits"

	"github.com/grafos/grafos/fsm/internal/cow"
)

// bitset is an ordered set of keys that end in an epoch. Leases that are granted, bound or ended
// together have epochs close to one another: 64 neighbours are one word of one node, so that an
// entry copies and searches few nodes for all of its leases.
type bitset[K member[K]] struct {
	blocks cow.Tree[K, uint64]
	n      int
}

// member is the key of a bitset.
type member[K any] interface {
	cow.Key[K]
	// block returns what a key has in common with its neighbours, and its place among them.
	block() (K, uint)
	// in returns the key at a place of a block.
	in(at uint) K
}

// blockBits are those of an epoch that say its place in a block.
const blockBits = 6

func (k serial) block() (serial, uint) { return k >> blockBits, uint(k) % (1 << blockBits) }
func (k serial) in(at uint) serial     { return k<<blockBits | serial(at) }

func (k tickKey) block() (tickKey, uint) {
	epoch, at := k.epoch.block()
	return tickKey{k.at, epoch}, at
}

func (k tickKey) in(at uint) tickKey { return tickKey{k.at, k.epoch.in(at)} }

// Len returns how many keys there are.
func (s *bitset[K]) Len() int { return s.n }

// Has reports whether a key is there.
func (s *bitset[K]) Has(key K) bool {
	block, at := key.block()
	word, _ := s.blocks.Get(block)
	return word>>at&1 != 0
}

// Set adds a key.
func (s *bitset[K]) Set(e cow.Edit, key K) {
	block, at := key.block()
	word := s.blocks.Own(e, block)
	switch {
	case word == nil:
		s.blocks.Set(e, block, 1<<at)
	case *word>>at&1 != 0:
		return
	default:
		*word |= 1 << at
	}
	s.n++
}

// Delete removes a key.
func (s *bitset[K]) Delete(e cow.Edit, key K) {
	block, at := key.block()
	word := s.blocks.Own(e, block)
	if word == nil || *word>>at&1 == 0 {
		return
	}
	s.n--
	if *word &^= 1 << at; *word == 0 {
		s.blocks.Delete(e, block)
	}
}

// Min returns the least key.
func (s *bitset[K]) Min() (key K, ok bool) {
	block, word, ok := s.blocks.Min()
	if !ok {
		return key, false
	}
	return block.in(uint(bits.TrailingZeros64(word))), true
}

// Scan visits the keys in order until visit returns false.
func (s *bitset[K]) Scan(visit func(K) bool) {
	s.blocks.Scan(func(block K, word uint64) bool { return scanBlock(block, word, visit) })
}

// Ascend visits the keys from a key on.
func (s *bitset[K]) Ascend(from K, visit func(K) bool) {
	first, at := from.block()
	s.blocks.Ascend(first, func(block K, word uint64) bool {
		if !first.Less(block) { // it is the first one
			word = word >> at << at
		}
		return scanBlock(block, word, visit)
	})
}

func scanBlock[K member[K]](block K, word uint64, visit func(K) bool) bool {
	for ; word != 0; word &= word - 1 {
		if !visit(block.in(uint(bits.TrailingZeros64(word)))) {
			return false
		}
	}
	return true
}
