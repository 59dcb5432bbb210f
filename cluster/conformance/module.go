package conformance

import "slices"

// greeting is what the first module says.
const greeting = "conformant\n"

// The modules are made here, byte by byte: they are a few hundred bytes each, and nothing has to be built or
// embedded. The numbers are those of the WebAssembly core specification, chapter 5.

// greets is a WASI command that writes greeting to its standard output.
func greets() []byte {
	const at = 16 // of the text; before it stand the vector of one piece, and where the count goes
	return module(
		section(1, vec(signature(4, 1), signature(0, 0))),
		section(2, vec(imported("wasi_snapshot_preview1", "fd_write", 0))),
		section(3, vec([]byte{1})),
		section(5, vec([]byte{0, 1})),
		section(7, vec(append(name("memory"), 2, 0), append(name("_start"), 0, 1))),
		section(10, vec(function(0, writes(0)))),
		section(11, vec(data(0, piece(at, len(greeting))), data(at, []byte(greeting)))),
	)
}

// loops is one that does nothing, for ever.
func loops() []byte {
	return module(
		section(1, vec(signature(0, 0))),
		section(3, vec([]byte{0})),
		section(5, vec([]byte{0, 1})),
		section(7, vec(append(name("memory"), 2, 0), append(name("_start"), 0, 0))),
		section(10, vec(function(0, []byte{0x03, 0x40, 0x0c, 0, 0x0b}))), // loop, br 0, end
	)
}

// writes calls fd_write, which is the given function, with the vector of one piece that stands at 0.
func writes(fdWrite byte) []byte {
	return slices.Concat(i32(1), i32(0), i32(1), i32(8), []byte{0x10, fdWrite, 0x1a}) // the count goes to 8; call, drop
}

// piece is a vector of one: where something stands, and its length.
func piece(at, n int) []byte { return []byte{byte(at), 0, 0, 0, byte(n), 0, 0, 0} }

// module is sections behind the header.
func module(sections ...[]byte) []byte {
	return append([]byte{0, 'a', 's', 'm', 1, 0, 0, 0}, slices.Concat(sections...)...)
}

func section(id byte, content []byte) []byte { return append([]byte{id}, sized(content)...) }

// vec is items behind their number.
func vec(items ...[]byte) []byte { return append(number(len(items)), slices.Concat(items...)...) }

// sized is bytes behind their number.
func sized(b []byte) []byte { return append(number(len(b)), b...) }

func name(s string) []byte { return sized([]byte(s)) }

// signature is a function that takes and returns so many i32.
func signature(takes, returns int) []byte {
	i32s := func(n int) []byte { return sized(slices.Repeat([]byte{0x7f}, n)) }
	return slices.Concat([]byte{0x60}, i32s(takes), i32s(returns))
}

// imported is a function of another module, of the signature at that place.
func imported(from, what string, signature byte) []byte {
	return slices.Concat(name(from), name(what), []byte{0, signature})
}

// function is a body with so many i32 of its own.
func function(locals byte, body []byte) []byte {
	declared := []byte{0}
	if locals > 0 {
		declared = []byte{1, locals, 0x7f}
	}
	return sized(slices.Concat(declared, body, []byte{0x0b}))
}

// data is bytes that stand in the memory at the beginning.
func data(at int, b []byte) []byte {
	return slices.Concat([]byte{0}, i32(at), []byte{0x0b}, sized(b))
}

// number is one without a sign, as lengths are.
func number(n int) []byte {
	var b []byte
	for ; n > 0x7f; n >>= 7 {
		b = append(b, byte(n)|0x80)
	}
	return append(b, byte(n))
}

// i32 puts a number on the stack.
func i32(n int) []byte {
	b := []byte{0x41}
	for ; n < -0x40 || n > 0x3f; n >>= 7 {
		b = append(b, byte(n)|0x80)
	}
	return append(b, byte(n)&0x7f)
}
