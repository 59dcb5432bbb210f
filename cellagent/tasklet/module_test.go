package tasklet

import (
	"bytes"
	"encoding/binary"
	"strings"
	"testing"
	"time"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/cellagent/work"
)

// Opcodes that the test modules are made of.
const (
	opUnreachable = 0x00
	opLoop        = 0x03
	opIf          = 0x04
	opEnd         = 0x0b
	opBr          = 0x0c
	opCall        = 0x10
	opDrop        = 0x1a
	opGrow        = 0x40
	opI32         = 0x41
	void          = 0x40
)

// module describes a WebAssembly module for tests: one function of no parameters, exported
// as _start, and whatever else a test wants to be wrong.
type module struct {
	code    []byte // without the final end
	locals  int    // i32s
	pages   int    // of memory; -1 is none
	imports []string
	export  string
	table   int
	start   bool // a start section calls it too
}

func (m module) bytes() []byte {
	out := []byte(wasmHeader)
	section := func(id byte, body ...[]byte) {
		b := bytes.Join(body, nil)
		out = append(append(append(out, id), leb(len(b))...), b...)
	}
	section(1, []byte{1, 0x60, 0, 0}) // one type: () -> ()
	if len(m.imports) > 0 {
		body := leb(len(m.imports))
		for _, im := range m.imports {
			mod, field, _ := strings.Cut(im, ".")
			body = append(append(body, name(mod)...), name(field)...)
			body = append(body, 0, 0)
		}
		section(2, body)
	}
	section(3, []byte{1, 0})
	if m.table > 0 {
		section(4, []byte{1, 0x70, 0}, leb(m.table))
	}
	if m.pages >= 0 {
		section(5, []byte{1, 0}, leb(m.pages))
	}
	export := m.export
	if export == "" {
		export = startName
	}
	section(7, []byte{1}, name(export), []byte{0}, leb(len(m.imports)))
	if m.start {
		section(8, leb(len(m.imports)))
	}
	locals := []byte{0}
	if m.locals > 0 {
		locals = append(append([]byte{1}, leb(m.locals)...), 0x7f)
	}
	body := append(append(locals, m.code...), opEnd)
	section(10, []byte{1}, leb(len(body)), body)
	return out
}

func leb(n int) []byte { return binary.AppendUvarint(nil, uint64(n)) }

func name(s string) []byte { return append(leb(len(s)), s...) }

// bomb is small, valid, and takes a compiler time that grows with the square of its size.
func bomb(ifs int) []byte {
	code := bytes.Repeat([]byte{opI32, 0, opIf, void, opI32, 1, 0x21, 0, opEnd}, ifs)
	return module{code: code, locals: 100}.bytes()
}

func TestHostileModules(t *testing.T) {
	r := open(t, func(c *Config) { c.CompileCPU = time.Second })
	fill := []byte{opI32, 0, opI32, 0, opI32, 0x80, 0x80, 0x80, 0xc0, 0x00, 0xfc, 11, 0} // memory.fill of 128 MiB
	tests := []struct {
		name   string
		bytes  []byte
		change func(*work.Job)
		state  api.RunState
		kind   api.Kind
		says   string
	}{
		{"nothing", nil, nil, api.RunFailed, api.InvalidModule, "begin with"},
		{"text", []byte("#!/bin/sh\n"), nil, api.RunFailed, api.InvalidModule, "begin with"},
		{"component", []byte("\x00asm\x0d\x00\x01\x00"), nil, api.RunFailed, api.InvalidModule, "version 1"},
		{"cut", module{}.bytes()[:20], nil, api.RunFailed, api.InvalidModule, "section"},
		{"import", module{imports: []string{wasiModule + ".sched_yield", "env.gettimeofday"}}.bytes(), nil, api.RunFailed, api.InvalidModule, `"env"."gettimeofday"`},
		{"old wasi", module{imports: []string{"wasi_unstable.fd_write"}}.bytes(), nil, api.RunFailed, api.InvalidModule, `"wasi_unstable"."fd_write"`},
		{"no such wasi function", module{imports: []string{wasiModule + ".fd_teleport"}}.bytes(), nil, api.RunFailed, api.InvalidModule, "fd_teleport"},
		{"wasi function of another type", module{imports: []string{wasiModule + ".fd_write"}}.bytes(), nil, api.RunFailed, api.InvalidModule, "another type"},
		{"no start", module{export: "main"}.bytes(), nil, api.RunFailed, api.InvalidModule, "_start"},
		{"invalid code", module{code: []byte{opDrop}}.bytes(), nil, api.RunFailed, api.InvalidModule, "invalid"},
		{"big table", module{table: 1 << 26}.bytes(), nil, api.RunFailed, api.InvalidModule, "table"},
		{"big memory", module{pages: 1025}.bytes(), nil, api.RunFailed, api.MemoryExceeded, "67174400"},
		{"exact memory", module{pages: 1024}.bytes(), nil, api.RunSucceeded, "", ""},
		{"no memory", module{pages: -1}.bytes(), nil, api.RunSucceeded, "", ""},
		{"unreachable", module{code: []byte{opUnreachable}}.bytes(), nil, api.RunFailed, api.Trap, "wasm error: unreachable"},
		{"recursion", module{code: []byte{opCall, 0}}.bytes(), nil, api.RunFailed, api.Trap, "stack overflow"},
		{"grow and trap", module{code: []byte{opI32, 0x80, 0x10, opGrow, 0, opDrop, opUnreachable}}.bytes(), nil, api.RunFailed, api.MemoryExceeded, "unreachable"},
		{"grow and live", module{code: []byte{opI32, 0x80, 0x10, opGrow, 0, opDrop}}.bytes(), nil, api.RunSucceeded, "", ""},
		{"loop", module{code: []byte{opLoop, void, opBr, 0, opEnd}}.bytes(), soon, api.RunExpired, api.DeadlineExceeded, "deadline"},
		{"loop in start section", module{code: []byte{opLoop, void, opBr, 0, opEnd}, start: true}.bytes(), soon, api.RunExpired, api.DeadlineExceeded, "deadline"},
		{"straight line of fills", module{code: bytes.Repeat(fill, 2000), pages: 2048}.bytes(), func(j *work.Job) { soon(j); j.Memory = 128 << 20 }, api.RunExpired, api.DeadlineExceeded, "deadline"},
		{"compile bomb", bomb(20_000), nil, api.RunFailed, api.InvalidModule, "CPU time"},
		{"compile bomb at deadline", bomb(20_001), func(j *work.Job) { j.Deadline = BootTime() + int64(500*time.Millisecond) }, api.RunExpired, api.DeadlineExceeded, "deadline"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			job := moduleJob(t, tt.bytes)
			if tt.change != nil {
				tt.change(&job)
			}
			start := time.Now()
			got := r.Run(t.Context(), job)
			t.Logf("%s %s %.200q in %s", got.State, got.Failure.Kind, got.Failure.Message, time.Since(start))
			if got.State != tt.state || got.Failure.Kind != tt.kind || !strings.Contains(got.Failure.Message, tt.says) {
				t.Errorf("got %s %+v, want %s %s %q", got.State, got.Failure, tt.state, tt.kind, tt.says)
			}
			if late := BootTime() - job.Deadline; late > int64(time.Second) {
				t.Errorf("ended %s after its deadline", time.Duration(late))
			}
		})
	}
}

// TestWrongModule proves that bytes that are not the job's module never run.
func TestWrongModule(t *testing.T) {
	r := open(t)
	j := moduleJob(t, module{}.bytes())
	j.Module = api.DigestOf([32]byte{1})
	if out := r.Run(t.Context(), j); out.Failure.Kind != api.DigestMismatch {
		t.Errorf("another digest: %s %+v", out.State, out.Failure)
	}
	j.ModulePath = "/nowhere/module.wasm"
	if out := r.Run(t.Context(), j); out.Failure.Kind != api.Internal {
		t.Errorf("no file: %s %+v", out.State, out.Failure)
	}
	if err := r.Prepare(t.Context(), "acme", j.Module, j.ModulePath); api.KindOf(err) != api.Internal {
		t.Errorf("prepare without a file: %v", err)
	}
}
