package sim

import (
	"github.com/grafos/grafos/api"
)

// chain is how far a disk holds the audit chain. The records themselves are checked once, by
// the world's checker; what a disk must get right is which of them it has.
type chain struct{ last, synced uint64 }

// crash takes what was not synced, or a part of it.
func (c *chain) crash(d *dice) {
	if n := c.last - c.synced; n > 0 {
		c.last = c.synced + uint64(d.below(int(n)+1))
	}
	c.synced = c.last
}

// append takes the records of an entry; those that are held are a replay.
func (m *mounted) append(records []api.AuditRecord) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, r := range records {
		m.audit.last = max(m.audit.last, r.Sequence)
	}
	return nil
}

// flush makes the records durable, before a snapshot makes the log superfluous that could
// bring them again.
func (m *mounted) flush() error {
	return m.sync(func() { m.audit.synced = m.audit.last })
}

// auditLog is a scheduler's own copy of the chain for those who read it over the API. Nobody
// does in a simulation.
type auditLog struct{}

// Read returns nothing.
func (auditLog) Read(api.AuditFilter) ([]api.AuditRecord, uint64, error) { return nil, 0, nil }
