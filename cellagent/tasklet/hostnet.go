package tasklet

import (
	"context"
	"fmt"

	"github.com/tetratelabs/wazero/api"

	"github.com/grafos/grafos/cellagent/work"
)

// netModule is the network of a run with a net lease. A worker has no sockets: its agent makes the calls.
const netModule = "grafos_net_v0"

// maxAddress is longer than any HOST:PORT.
const maxAddress = 512

// netFunctions lists the functions of netModule by name. ms is how long a call may take: 0 takes what
// is there already, a negative number is as long as the lease lasts.
func netFunctions() map[string]any {
	return map[string]any{
		// dial(ptr, len, ms) -> i32: a flow, which is above zero, to the HOST:PORT that stands there.
		"dial": func(ctx context.Context, m api.Module, ptr, size uint32, ms int32) int32 {
			if size > maxAddress {
				return int32(work.NetBadAddress)
			}
			return outgoing(ctx, m, call{op: opDial, ms: ms}, ptr, size)
		},
		// send(flow, ptr, len, ms) -> i32: how many of the bytes were taken, at least one.
		"send": func(ctx context.Context, m api.Module, flow int32, ptr, size uint32, ms int32) int32 {
			return outgoing(ctx, m, call{op: opSend, flow: flow, ms: ms}, ptr, size)
		},
		// recv(flow, ptr, len, ms) -> i32: how many bytes have come, 0 when the other side has ended.
		"recv": receive,
		// close(flow) -> i32: 0. What was sent is still delivered.
		"close": func(ctx context.Context, flow int32) int32 {
			return ask(ctx, call{op: opHang, flow: flow}).result
		},
	}
}

// outgoing makes a call that takes bytes of the guest with it, as many as one can.
func outgoing(ctx context.Context, m api.Module, c call, ptr, size uint32) int32 {
	memory := m.Memory()
	if memory == nil {
		return int32(work.NetCapacity)
	}
	if _, inside := memory.Read(ptr, size); !inside {
		return int32(work.NetCapacity)
	}
	c.data, _ = memory.Read(ptr, min(size, callData))
	return ask(ctx, c).result
}

func receive(ctx context.Context, m api.Module, flow int32, ptr, size uint32, ms int32) int32 {
	memory := m.Memory()
	if memory == nil {
		return int32(work.NetCapacity)
	}
	if _, inside := memory.Read(ptr, size); !inside {
		return int32(work.NetCapacity)
	}
	r := ask(ctx, call{op: opRecv, flow: flow, ms: ms, want: min(size, callData)})
	if len(r.data) > int(size) || !memory.Write(ptr, r.data) {
		panic(&socketError{fmt.Errorf("the agent sent %d bytes where there is room for %d", len(r.data), size)})
	}
	return r.result
}

// ask has the agent make a call, and waits for the reply. A guest whose agent does not answer ends, as
// it does when its output cannot be written.
func ask(ctx context.Context, c call) reply {
	run, ok := ctx.Value(termKey{}).(*running)
	if !ok {
		return reply{result: int32(work.NetUnsupported)}
	}
	if err := writeFrame(run.up, frameCall, c.encode()); err != nil {
		panic(&socketError{err})
	}
	payload, err := run.replies()
	if err != nil {
		panic(&socketError{err})
	}
	r, err := parseReply(payload)
	if err != nil {
		panic(&socketError{err})
	}
	return r
}
