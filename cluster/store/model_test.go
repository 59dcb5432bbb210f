package store

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"

	"github.com/hashicorp/raft"
)

// model is what a store must hold after a sequence of operations, which a seed determines:
// whoever knows how many of them were acknowledged knows what must be there.
type model struct {
	r       *rand.Rand
	appends bool // nothing but appends

	first, last uint64
	terms       map[uint64]uint64 // of the entries held
	values      map[string][]byte
	snap, sterm uint64
}

func newModel(seed uint64, appends bool) *model {
	return &model{r: rand.New(rand.NewPCG(seed, 9)), appends: appends, terms: map[uint64]uint64{}, values: map[string][]byte{}}
}

// op is one operation: what it does to a store, and to the model of it.
type op struct {
	name  string
	store func(s *Store) error
	model func(m *model)
}

func (m *model) term() uint64 { return binary.BigEndian.Uint64(m.values[keyTerm]) }

// next draws the operation that follows in the state that m is in.
func (m *model) next() op {
	if m.values[keyTerm] == nil {
		return m.set(keyTerm, binary.BigEndian.AppendUint64(nil, 1))
	}
	n := m.r.IntN(100)
	switch {
	case m.appends || n < 70 || m.last < m.first+30:
		return m.append(1 + m.r.IntN(8))
	case n < 78:
		return m.set(keyTerm, binary.BigEndian.AppendUint64(nil, m.term()+1))
	case n < 86:
		return m.set("LastVoteCand", fmt.Appendf(nil, "s%d", m.r.IntN(5)))
	case n < 91 && m.last > m.snap:
		return m.snapshot(m.snap + 1 + m.r.Uint64N(m.last-m.snap))
	case n < 96 && m.snap > m.first:
		return m.compact(m.first + m.r.Uint64N(m.snap-m.first))
	case m.last-5 > m.snap:
		return m.truncate(m.last - m.r.Uint64N(5))
	}
	return m.append(1)
}

func (m *model) set(key string, value []byte) op {
	return op{
		"set " + key,
		func(s *Store) error { return s.Log.Set([]byte(key), value) },
		func(m *model) { m.values[key] = value },
	}
}

func (m *model) append(n int) op {
	from, term := m.last+1, m.term()
	return op{
		fmt.Sprintf("append %d to %d", from, from+uint64(n)-1),
		func(s *Store) error {
			var batch []*raft.Log
			for i := range uint64(n) {
				batch = append(batch, modelEntry(from+i, term))
			}
			return s.Log.StoreLogs(batch)
		},
		func(m *model) {
			m.first = max(m.first, 1)
			for range n {
				m.last++
				m.terms[m.last] = term
			}
		},
	}
}

func (m *model) compact(upTo uint64) op {
	first := m.first
	return op{
		fmt.Sprintf("compact %d to %d", first, upTo),
		func(s *Store) error { return s.Log.DeleteRange(first, upTo) },
		func(m *model) { m.first = upTo + 1 },
	}
}

func (m *model) truncate(from uint64) op {
	last := m.last
	return op{
		fmt.Sprintf("truncate %d to %d", from, last),
		func(s *Store) error { return s.Log.DeleteRange(from, last) },
		func(m *model) { m.last = from - 1 },
	}
}

func (m *model) snapshot(index uint64) op {
	term := m.terms[index]
	return op{
		fmt.Sprintf("snapshot of %d", index),
		func(s *Store) error {
			k, err := s.Snapshots.Create(1, index, term, raft.Configuration{}, 1, nil)
			if err != nil {
				return err
			}
			if _, err := k.Write(modelPayload(index)); err != nil {
				return errors.Join(err, k.Cancel())
			}
			return k.Close()
		},
		func(m *model) { m.snap, m.sterm = index, term },
	}
}

func modelEntry(index, term uint64) *raft.Log {
	r := rand.New(rand.NewPCG(index, term))
	return entry(index, term, string(bytes.Repeat([]byte{byte('a' + index%26)}, 1+r.IntN(1500))))
}

func modelPayload(index uint64) []byte { return bytes.Repeat(fmt.Appendf(nil, "%d,", index), 20_000) }

// matches reports what s holds other than m.
func (m *model) matches(s *Store) error {
	first, _ := s.Log.FirstIndex()
	last, _ := s.Log.LastIndex()
	if first != m.first || last != m.last {
		return fmt.Errorf("the log holds %d to %d, want %d to %d", first, last, m.first, m.last)
	}
	for i := first; i <= last && i != 0; i++ {
		var got raft.Log
		if err := s.Log.GetLog(i, &got); err != nil {
			return err
		}
		if want := modelEntry(i, m.terms[i]); got.Term != want.Term || !bytes.Equal(got.Data, want.Data) {
			return fmt.Errorf("entry %d is of term %d, %d bytes; want term %d, %d bytes", i, got.Term, len(got.Data), want.Term, len(want.Data))
		}
	}
	for key, want := range m.values {
		if got, err := s.Log.Get([]byte(key)); err != nil || !bytes.Equal(got, want) {
			return fmt.Errorf("%s is %x, %w; want %x", key, got, errors.Join(err), want)
		}
	}
	return m.matchesSnapshot(s)
}

func (m *model) matchesSnapshot(s *Store) error {
	metas, err := s.Snapshots.List()
	if err != nil || len(metas) == 0 && m.snap == 0 {
		return err
	}
	if len(metas) == 0 || metas[0].Index != m.snap || metas[0].Term != m.sterm {
		return fmt.Errorf("the newest of %d snapshots is not that of %d", len(metas), m.snap)
	}
	_, r, err := s.Snapshots.Open(metas[0].ID)
	if err != nil {
		return err
	}
	b, err := io.ReadAll(r)
	if !bytes.Equal(b, modelPayload(m.snap)) {
		err = errors.Join(err, errors.New("the newest snapshot holds something else"))
	}
	return errors.Join(err, r.Close())
}
