package tasklet

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/grafos/grafos/cellagent/work"
)

// callOp is what a guest asks of its network.
type callOp uint8

const (
	opDial callOp = iota + 1 // data is the address
	opSend                   // data is what to send
	opRecv                   // want is how many bytes there is room for
	opHang
)

// call is a guest's call to its network, as it goes up:
//
//	op | flow (4 bytes) | milliseconds (4) | want (4) | data
//
// The guest stands still until it has the reply, so that a worker has one call under way.
type call struct {
	op   callOp
	flow int32
	ms   int32 // how long it may take; negative is as long as the lease lasts
	want uint32
	data []byte
}

const (
	callHead = 13
	// callData is the most bytes that one call moves.
	callData = 60 << 10
)

// encode writes a call.
func (c call) encode() []byte {
	b := make([]byte, 0, callHead+len(c.data))
	b = append(b, byte(c.op))
	b = binary.BigEndian.AppendUint32(b, uint32(c.flow))
	b = binary.BigEndian.AppendUint32(b, uint32(c.ms))
	b = binary.BigEndian.AppendUint32(b, c.want)
	return append(b, c.data...)
}

// parseCall reads a call, and refuses what no worker of ours sends.
func parseCall(b []byte) (call, error) {
	if len(b) < callHead {
		return call{}, fmt.Errorf("a call of %d bytes", len(b))
	}
	c := call{
		op: callOp(b[0]), flow: int32(binary.BigEndian.Uint32(b[1:])), ms: int32(binary.BigEndian.Uint32(b[5:])),
		want: binary.BigEndian.Uint32(b[9:]), data: b[callHead:],
	}
	switch c.op {
	case opDial, opSend:
		if c.want != 0 || len(c.data) > callData {
			return call{}, errors.New("a call that is out of form")
		}
	case opRecv, opHang:
		if len(c.data) != 0 || c.want > callData || c.op == opHang && c.want != 0 {
			return call{}, errors.New("a call that is out of form")
		}
	default:
		return call{}, fmt.Errorf("a call of kind %d", c.op)
	}
	return c, nil
}

// wait is how long the call may take.
func (c call) wait() time.Duration { return time.Duration(c.ms) * time.Millisecond }

// reply is what a call is answered with: a status below zero, a flow, or a number of bytes, and
// those that were received.
type reply struct {
	result int32
	data   []byte
}

// replied makes a reply of what a Net returned.
func replied(n int32, s work.NetStatus, data []byte) reply {
	if s != work.NetOK {
		return reply{result: int32(s)}
	}
	return reply{result: n, data: data}
}

func (r reply) encode() []byte {
	return append(binary.BigEndian.AppendUint32(make([]byte, 0, 4+len(r.data)), uint32(r.result)), r.data...)
}

// parseReply reads a reply.
func parseReply(b []byte) (reply, error) {
	if len(b) < 4 {
		return reply{}, fmt.Errorf("a reply of %d bytes", len(b))
	}
	r := reply{result: int32(binary.BigEndian.Uint32(b)), data: b[4:]}
	if len(r.data) > 0 && int(r.result) != len(r.data) {
		return reply{}, fmt.Errorf("a reply of %d bytes says %d", len(r.data), r.result)
	}
	return r, nil
}
