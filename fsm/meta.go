package fsm

import (
	"crypto/sha256"

	"github.com/grafos/grafos/api"
)

// meta is the state beside the tables.
type meta struct {
	ClusterID string
	Index     uint64
	Now       api.Tick
	Wall      int64
	// Epoch is the newest fencing number that was given to a lease; I4.
	Epoch uint64
	// ClusterEpoch counts the recoveries, Recoveries are the ids of the newest ones.
	ClusterEpoch uint64
	Recoveries   []string
	Level        Level
	Audit        api.AuditHead // I8
	// Fingerprint is the rolling hash over every change since the beginning.
	Fingerprint [sha256.Size]byte
}

// appendMeta writes what the fingerprint covers of the state beside the tables.
func appendMeta(b []byte, m *meta) []byte {
	b = append(b, 0, layoutOne)
	b = appendText(b, m.ClusterID)
	b = appendUint(b, m.Index)
	b = appendInt(b, int64(m.Now))
	b = appendInt(b, m.Wall)
	b = appendUint(b, m.Epoch)
	b = appendUint(b, m.ClusterEpoch)
	b = appendUint(b, uint64(m.Level))
	b = appendUint(b, uint64(len(m.Recoveries)))
	for _, id := range m.Recoveries {
		b = appendText(b, id)
	}
	return appendText(appendUint(b, m.Audit.Sequence), m.Audit.Hash)
}
