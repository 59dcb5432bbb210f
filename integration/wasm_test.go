package integration

import (
	"bytes"
	encoding "encoding/binary"
	"os"
	"path/filepath"
	"testing"
)

// Small WASI commands, assembled here so that a test of a misbehaving tasklet needs no
// compiler. Their memory begins with an iovec of the text behind it.
const (
	opUnreachable = 0x00
	opLoop        = 0x03
	opEnd         = 0x0b
	opBr          = 0x0c
	opCall        = 0x10
	opDrop        = 0x1a
	opGrow        = 0x40
	opConst       = 0x41
	typeVoid      = 0x40

	callWrite = 0 // fd_write(fd, iovecs, count, written)
	callExit  = 1 // proc_exit(code)

	iovec   = 0 // where the iovec is
	written = 8
	text    = 16
)

// command assembles a module whose _start is code, with text in a memory of pages.
func command(pages int, says string, code ...[]byte) []byte {
	out := []byte("\x00asm\x01\x00\x00\x00")
	section := func(id byte, parts ...[]byte) {
		body := bytes.Join(parts, nil)
		out = append(append(append(out, id), uleb(len(body))...), body...)
	}
	section(1, []byte{3, 0x60, 0, 0, 0x60, 4, 0x7f, 0x7f, 0x7f, 0x7f, 1, 0x7f, 0x60, 1, 0x7f, 0})
	section(2, []byte{2}, named("wasi_snapshot_preview1"), named("fd_write"), []byte{0, 1}, named("wasi_snapshot_preview1"), named("proc_exit"), []byte{0, 2})
	section(3, []byte{1, 0})
	section(5, []byte{1, 0}, uleb(pages))
	section(7, []byte{2}, named("memory"), []byte{2, 0}, named("_start"), []byte{0, 2})
	body := append(append([]byte{0}, bytes.Join(code, nil)...), opEnd)
	section(10, []byte{1}, uleb(len(body)), body)
	data := make([]byte, text, text+len(says))
	encoding.LittleEndian.PutUint32(data, text)
	encoding.LittleEndian.PutUint32(data[4:], uint32(len(says)))
	data = append(data, says...)
	section(11, []byte{1, 0, opConst, 0, opEnd}, uleb(len(data)), data)
	return out
}

// say writes the text to a file descriptor.
func say(fd byte) []byte {
	return []byte{opConst, fd, opConst, iovec, opConst, 1, opConst, written, opCall, callWrite, opDrop}
}

// exit ends with a code below 64.
func exit(code byte) []byte { return []byte{opConst, code, opCall, callExit} }

// trap is what no program comes past.
func trap() []byte { return []byte{opUnreachable} }

// forever repeats code.
func forever(code ...[]byte) []byte {
	return append(append([]byte{opLoop, typeVoid}, bytes.Join(code, nil)...), opBr, 0, opEnd)
}

// grow asks for pages more of 64 KiB.
func grow(pages int) []byte {
	return append(append([]byte{opConst}, sleb(pages)...), opGrow, 0, opDrop)
}

func uleb(n int) []byte { return encoding.AppendUvarint(nil, uint64(n)) }

// sleb is the signed form, for numbers that are not negative.
func sleb(n int) []byte {
	b := uleb(n)
	if last := b[len(b)-1]; last&0x40 != 0 {
		b[len(b)-1] = last | 0x80
		b = append(b, 0)
	}
	return b
}

func named(s string) []byte { return append(uleb(len(s)), s...) }

// hello writes to both of its outputs.
func hello() []byte { return command(1, "hello, world\n", say(1), say(2)) }

// module writes a module to a file of the cluster's scratch folder.
func (d *door) module(t *testing.T, name string, assemble func() []byte) string {
	t.Helper()
	file := filepath.Join(d.scratch, name+".wasm")
	if err := os.WriteFile(file, assemble(), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}
