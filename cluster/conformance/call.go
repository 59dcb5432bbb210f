package conformance

import "slices"

// call is what a run does with its network: it connects, says a secret, and either says what comes back, or
// goes on sending until it may not.
type call struct {
	to, secret string
	pours      bool
}

// What dial returns, as docs/leases.md lists it.
const (
	dialTimeout     = -7
	dialRefused     = -8
	dialUnreachable = -9
)

// dialTime is how long a run waits for a connection, in milliseconds; whoever cannot be reached often does not
// say so.
const dialTime = 2000

// statusOf reads what a run says that could not connect.
func statusOf(output string) (status int, ok bool) {
	if len(output) != 1 {
		return 0, false
	}
	return 'A' - int(output[0]), true
}

// module is a WASI command that makes the call. Without a connection it says one letter, which is A and so
// many further as dial's answer is below zero.
func (c call) module() []byte {
	const (
		said, to, secret, buffer, room  = 16, 64, 256, 1024, 4096
		fdWrite, dial, send, recv, hang = 0, 1, 2, 3, 4
		flow, got                       = 0, 1
	)
	body := slices.Concat(
		i32(to), i32(len(c.to)), i32(dialTime), []byte{0x10, dial, 0x22, flow}, // local.tee
		i32(0), []byte{0x4c, 0x04, 0x40}, // i32.le_s, if
		i32(said), i32('A'), []byte{0x20, flow, 0x6b, 0x3a, 0, 0}, // local.get, i32.sub, i32.store8
		writes(fdWrite), []byte{0x0f, 0x0b}, // return, end
		[]byte{0x20, flow}, i32(secret), i32(len(c.secret)), i32(-1), []byte{0x10, send, 0x1a}, // drop
	)
	if c.pours {
		body = slices.Concat(body, []byte{0x03, 0x40, 0x20, flow}, i32(buffer), i32(room), i32(-1), []byte{0x10, send},
			i32(0), []byte{0x4a, 0x0d, 0, 0x0b}) // i32.gt_s, br_if, end
	} else {
		body = slices.Concat(body, i32(0), i32(buffer), []byte{0x36, 2, 0}, // i32.store: the piece is the buffer
			[]byte{0x03, 0x40, 0x20, flow}, i32(buffer), i32(room), i32(dialTime), []byte{0x10, recv, 0x22, got},
			i32(0), []byte{0x4a, 0x04, 0x40}, i32(4), []byte{0x20, got, 0x36, 2, 0}, // its length is what came
			writes(fdWrite), []byte{0x0c, 1, 0x0b, 0x0b}) // br, end, end
	}
	body = append(body, 0x20, flow, 0x10, hang, 0x1a)
	const net = "grafos_net_v0"
	return module(
		section(1, vec(signature(4, 1), signature(3, 1), signature(1, 1), signature(0, 0))),
		section(2, vec(
			imported("wasi_snapshot_preview1", "fd_write", 0),
			imported(net, "dial", 1), imported(net, "send", 0), imported(net, "recv", 0), imported(net, "close", 2),
		)),
		section(3, vec([]byte{3})),
		section(5, vec([]byte{0, 1})),
		section(7, vec(append(name("memory"), 2, 0), append(name("_start"), 0, 5))),
		section(10, vec(function(2, body))),
		section(11, vec(data(0, piece(said, 1)), data(to, []byte(c.to)), data(secret, []byte(c.secret)))),
	)
}
