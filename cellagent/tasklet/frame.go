package tasklet

import (
	"encoding/binary"
	"fmt"
	"io"

	"github.com/grafos/grafos/api"
)

// A frame is what crosses the socket between agent and worker:
//
//	'G' | version | type | 0 | length (4 bytes, big endian) | payload
//
// Each type bounds its payload, so that neither side can make the other allocate more.
const (
	frameMagic      = 'G'
	frameVersion    = 1
	frameHeaderSize = 8
)

// frameType says what a payload is.
type frameType uint8

// The frames. Job, module, stdin, notice and reply go down, the others up.
const (
	frameJob      frameType = 1  // jobMessage; module and stdin follow where it says so
	frameModule   frameType = 2  // the module's bytes
	frameStdin    frameType = 3  // the run's input
	frameReady    frameType = 4  // readyMessage, once, before anything else
	frameCompiled frameType = 5  // no payload: guest code is entered next
	frameStdout   frameType = 6  // a piece of output
	frameStderr   frameType = 7  // a piece of log
	frameDone     frameType = 8  // doneMessage; the worker is idle again
	frameNotice   frameType = 9  // noticeMessage, while a guest runs
	frameSaved    frameType = 10 // the guest's checkpoint
	frameCall     frameType = 11 // a call of the guest's to its network; it waits for the reply
	frameReply    frameType = 12 // what came of it
)

// Bounds of payloads, in bytes.
const (
	maxMessage = 1 << 20  // a JSON message
	maxPiece   = 64 << 10 // a piece of output
	maxStdin   = api.MaxInputBytes
	maxModule  = api.MaxModuleBytes
)

// bound returns the most bytes that a payload of the type may have; false is a type that
// does not exist.
func (t frameType) bound() (uint32, bool) {
	switch t {
	case frameJob, frameReady, frameDone, frameNotice:
		return maxMessage, true
	case frameModule:
		return maxModule, true
	case frameStdin:
		return maxStdin, true
	case frameCompiled:
		return 0, true
	case frameSaved:
		return api.MaxCheckpointBytes, true
	case frameStdout, frameStderr, frameCall, frameReply:
		return maxPiece, true
	}
	return 0, false
}

// header makes the header of a frame with n bytes of payload.
func header(t frameType, n int64) ([frameHeaderSize]byte, error) {
	h := [frameHeaderSize]byte{frameMagic, frameVersion, byte(t), 0}
	limit, ok := t.bound()
	if !ok || n < 0 || n > int64(limit) {
		return h, fmt.Errorf("frame type %d cannot carry %d bytes", t, n)
	}
	binary.BigEndian.PutUint32(h[4:], uint32(n))
	return h, nil
}

// writeFrame writes one frame.
func writeFrame(w io.Writer, t frameType, payload []byte) error {
	h, err := header(t, int64(len(payload)))
	if err != nil {
		return err
	}
	// One write for header and payload: a stopped reader never sees half a small frame.
	if len(payload) <= maxPiece {
		_, err = w.Write(append(h[:], payload...))
		return err
	}
	if _, err = w.Write(h[:]); err != nil {
		return err
	}
	_, err = w.Write(payload)
	return err
}

// readFrame reads one frame. It refuses another version, an unknown type and a length above
// the type's bound before it allocates.
func readFrame(r io.Reader) (frameType, []byte, error) {
	var h [frameHeaderSize]byte
	if _, err := io.ReadFull(r, h[:]); err != nil {
		return 0, nil, err
	}
	t, n, err := parseHeader(h)
	if err != nil || n == 0 {
		return t, nil, err
	}
	payload := make([]byte, n)
	if _, err := io.ReadFull(r, payload); err != nil {
		return t, nil, fmt.Errorf("read frame of %d bytes: %w", n, err)
	}
	return t, payload, nil
}

// parseHeader returns the type and payload length of a header.
func parseHeader(h [frameHeaderSize]byte) (frameType, uint32, error) {
	if h[0] != frameMagic || h[1] != frameVersion || h[3] != 0 {
		return 0, 0, fmt.Errorf("frame header % x is not one of version %d", h, frameVersion)
	}
	t, n := frameType(h[2]), binary.BigEndian.Uint32(h[4:])
	limit, ok := t.bound()
	if !ok {
		return 0, 0, fmt.Errorf("frame type %d is unknown", t)
	}
	if n > limit {
		return 0, 0, fmt.Errorf("frame type %d has %d bytes: at most %d", t, n, limit)
	}
	return t, n, nil
}
