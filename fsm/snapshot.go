package fsm

import (
	"fmt"

	"github.com/grafos/grafos/api"
)

// A snapshot is a stream of frames: one byte that says what it is (a table, or one of the
// marks below), the length as a uvarint, and a body. First the head (CBOR), then the state
// beside the tables (CBOR), then the tables in the order of their numbers, each in one order:
// leases by epoch and keys by their use, in their compact forms, as runs are; the rest
// in CBOR, by their keys. Then the foot, which counts them; last, 32 bytes of SHA-256 over
// all of it. Indexes and sums are not in it: they are made again.
//
// Version 1, which is still read, held the state in its head and every record in CBOR, each
// table by its keys.
const (
	snapshotMagic   = "grafos snapshot\n"
	snapshotVersion = 2
	frameHead       = 0xf0
	frameMeta       = 0xf1
	frameFoot       = 0xff
	// maxRecord bounds the body of one frame.
	maxRecord = 256 << 10
)

// snapshotHead is what a reader must know first. Later versions keep these names.
type snapshotHead struct {
	Version int   `json:"version"`
	Level   Level `json:"level"`
}

// snapshotMeta is the state beside the tables as it is written.
type snapshotMeta struct {
	ClusterID    string        `json:"cluster_id"`
	Index        uint64        `json:"index"`
	Now          api.Tick      `json:"now_tick"`
	Wall         int64         `json:"wall_ms"`
	Epoch        uint64        `json:"epoch"`
	ClusterEpoch uint64        `json:"cluster_epoch"`
	Recoveries   []string      `json:"recoveries"`
	Audit        api.AuditHead `json:"audit"`
	Fingerprint  string        `json:"fingerprint"`
}

// snapshotFoot counts the records that came before it.
type snapshotFoot struct {
	Records [tableTokens + 1]uint64 `json:"records"` // by table number
}

// SnapshotFault says what is wrong with a snapshot that was refused.
type SnapshotFault string

// The faults. Only the first three can be of a snapshot that is whole.
const (
	FaultForeign   SnapshotFault = "foreign"   // no snapshot of grafOS
	FaultVersion   SnapshotFault = "version"   // of a version that this node does not know
	FaultLevel     SnapshotFault = "level"     // of a feature level that this node does not know
	FaultTruncated SnapshotFault = "truncated" // it ends before its end
	FaultTrailing  SnapshotFault = "trailing"  // it goes on behind its end
	FaultDamaged   SnapshotFault = "damaged"   // its checksum is not that of its content
	FaultContent   SnapshotFault = "content"   // its checksum is right, what it says is not
	FaultRead      SnapshotFault = "read"      // it could not be read
)

// SnapshotError says why a snapshot was refused. Nothing of it was taken.
type SnapshotError struct {
	Fault  SnapshotFault
	Detail string
	Err    error // the cause, where there is one
}

// Error says what is wrong and what to do.
func (e *SnapshotError) Error() string {
	s := fmt.Sprintf("snapshot refused (%s): %s", e.Fault, e.Detail)
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	switch e.Fault {
	case FaultVersion, FaultLevel:
		return s + ": run a release that knows it here"
	case FaultForeign, FaultTruncated, FaultTrailing, FaultDamaged, FaultContent:
		return s + ": take another snapshot, or the data of another node"
	case FaultRead:
	}
	return s
}

// Unwrap returns the cause.
func (e *SnapshotError) Unwrap() error { return e.Err }

func refuseSnapshot(f SnapshotFault, err error, format string, args ...any) *SnapshotError {
	return &SnapshotError{Fault: f, Detail: fmt.Sprintf(format, args...), Err: err}
}
