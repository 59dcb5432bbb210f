package cluster

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"

	"github.com/grafos/grafos/api"
)

// A snapshot that an operator restores holds a state that no log led to: the audit records of
// the restore itself are nowhere else. They stand before the compressed state, in a frame that
// a decompressor passes over.

const (
	tailMagic     = 0x184d2a5e // one of the skippable frames of RFC 8878
	maxTail       = 1 << 20
	tailHead      = 8
	restoreBuffer = 256 << 10
)

// writeTail writes the frame.
func writeTail(w io.Writer, recs []api.AuditRecord) error {
	b, err := json.Marshal(recs)
	if err != nil {
		return fmt.Errorf("encode audit records of a snapshot: %w", err)
	}
	if len(b) > maxTail {
		return fmt.Errorf("the audit records of a snapshot take %d bytes, over %d", len(b), maxTail)
	}
	head := binary.LittleEndian.AppendUint32(nil, tailMagic)
	head = binary.LittleEndian.AppendUint32(head, uint32(len(b)))
	_, err = w.Write(append(head, b...))
	return err
}

// readTail reads the frame where there is one.
func readTail(r *bufio.Reader) ([]api.AuditRecord, error) {
	head, err := r.Peek(tailHead)
	if err != nil || binary.LittleEndian.Uint32(head) != tailMagic {
		return nil, nil //nolint:nilerr // whoever reads the state says what is wrong with it
	}
	size := binary.LittleEndian.Uint32(head[4:])
	if size > maxTail {
		return nil, api.Refuse(api.InvalidArgument, "the audit records of the snapshot take %d bytes, over %d", size, maxTail)
	}
	b := make([]byte, tailHead+size)
	if _, err := io.ReadFull(r, b); err != nil {
		return nil, fmt.Errorf("read audit records of the snapshot: %w", err)
	}
	var recs []api.AuditRecord
	if err := json.Unmarshal(b[tailHead:], &recs); err != nil {
		return nil, api.Refuse(api.InvalidArgument, "the audit records of the snapshot are not readable: %v", err)
	}
	return recs, nil
}
