package conformance

import "slices"

// greeting is what the first module says.
const greeting = "conformant\n"

// The two modules are made here, byte by byte: they are a hundred bytes each, and nothing has to be built or
// embedded. The numbers are those of the WebAssembly core specification, chapter 5.

// greets is a WASI command that writes greeting to its standard output.
func greets() []byte {
	const at = 16 // of the text; before it stand the vector of one piece, and where the count goes
	body := []byte{
		0x41, 1, 0x41, 0, 0x41, 1, 0x41, 8, // i32.const: file 1, vector at 0, 1 piece, count to 8
		0x10, 0, 0x1a, // call 0, drop
	}
	vector := []byte{at, 0, 0, 0, byte(len(greeting)), 0, 0, 0}
	return module(
		section(1, vec([]byte{0x60, 4, 0x7f, 0x7f, 0x7f, 0x7f, 1, 0x7f}, []byte{0x60, 0, 0})),
		section(2, vec(slices.Concat(name("wasi_snapshot_preview1"), name("fd_write"), []byte{0, 0}))),
		section(3, vec([]byte{1})),
		section(5, vec([]byte{0, 1})),
		section(7, vec(append(name("memory"), 2, 0), append(name("_start"), 0, 1))),
		section(10, vec(function(body))),
		section(11, vec(data(0, vector), data(at, []byte(greeting)))),
	)
}

// loops is one that does nothing, for ever.
func loops() []byte {
	return module(
		section(1, vec([]byte{0x60, 0, 0})),
		section(3, vec([]byte{0})),
		section(5, vec([]byte{0, 1})),
		section(7, vec(append(name("memory"), 2, 0), append(name("_start"), 0, 0))),
		section(10, vec(function([]byte{0x03, 0x40, 0x0c, 0, 0x0b}))), // loop, br 0, end
	)
}

// module is sections behind the header. None of what follows is longer than one byte can say.
func module(sections ...[]byte) []byte {
	return append([]byte{0, 'a', 's', 'm', 1, 0, 0, 0}, slices.Concat(sections...)...)
}

func section(id byte, content []byte) []byte {
	return append([]byte{id, byte(len(content))}, content...)
}

// vec is items behind their number.
func vec(items ...[]byte) []byte { return append([]byte{byte(len(items))}, slices.Concat(items...)...) }

func name(s string) []byte { return append([]byte{byte(len(s))}, s...) }

// function is a body without locals.
func function(body []byte) []byte {
	code := append([]byte{0}, append(body, 0x0b)...)
	return append([]byte{byte(len(code))}, code...)
}

// data is bytes that stand in the memory at the beginning.
func data(at byte, b []byte) []byte {
	return append([]byte{0, 0x41, at, 0x0b, byte(len(b))}, b...)
}
