package ledger

import "bytes"

// Memory is a Disk that lives as long as whoever has it: for a simulated host, whose agents come
// and go.
type Memory struct{ kept, next []byte }

// Load returns what is kept.
func (m *Memory) Load() ([]byte, error) { return bytes.Clone(m.kept), nil }

// Append keeps p.
func (m *Memory) Append(p []byte) error {
	m.kept = append(m.kept, p...)
	return nil
}

// Sync does nothing: nothing of it survives a host.
func (m *Memory) Sync() error { return nil }

// Prepare keeps what is to come.
func (m *Memory) Prepare(all []byte) error {
	m.next = bytes.Clone(all)
	return nil
}

// Swap puts what was prepared in place.
func (m *Memory) Swap(tail []byte) error {
	m.kept, m.next = append(m.next, tail...), nil
	return nil
}

// Close does nothing.
func (m *Memory) Close() error { return nil }
