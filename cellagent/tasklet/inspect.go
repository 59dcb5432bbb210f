package tasklet

import (
	"errors"
	"fmt"

	"github.com/grafos/grafos/api"
)

const (
	wasmPage   = 64 << 10 // bytes of one page of linear memory
	wasmHeader = "\x00asm\x01\x00\x00\x00"
	wasiModule = "wasi_snapshot_preview1"
	startName  = "_start"
	// maxTable bounds the elements that tables declare; each takes eight bytes in the worker.
	maxTable = 1 << 20
)

// The sections of a module that are looked into, and the last one that exists.
const (
	sectionImport = 2
	sectionTable  = 4
	sectionMemory = 5
	sectionExport = 7
	sectionLast   = 12
)

// traits is what a module says of itself that decides whether it is compiled at all.
type traits struct {
	memoryPages uint64 // declared minimum
	tableSlots  uint64
	start       bool // exports the function _start
}

// inspect reads the outline of a module and refuses what can never run under the wasi
// profile, so that the compiler never sees it. It does not validate code; the compiler does.
func inspect(module []byte) (traits, error) {
	t, err := outline(module)
	if err != nil {
		return t, err
	}
	if !t.start {
		return t, errors.New("module exports no function _start: profile wasi runs command modules")
	}
	if t.tableSlots > maxTable {
		return t, fmt.Errorf("module declares tables of %d elements: at most %d", t.tableSlots, maxTable)
	}
	return t, nil
}

// exceeds returns how the module cannot run within limit bytes of linear memory, or nil.
func (t *traits) exceeds(limit int64) *api.Failure {
	if t.memoryPages <= uint64(limit/wasmPage) {
		return nil
	}
	return &api.Failure{
		Kind: api.MemoryExceeded,
		Message: fmt.Sprintf("module declares at least %d bytes of memory: the limit is %d bytes",
			t.memoryPages*wasmPage, limit),
	}
}

// outline walks the sections of a module.
func outline(module []byte) (traits, error) {
	var t traits
	if len(module) > api.MaxModuleBytes {
		return t, fmt.Errorf("module has %d bytes: at most %d", len(module), api.MaxModuleBytes)
	}
	if len(module) < len(wasmHeader) || string(module[:4]) != wasmHeader[:4] {
		return t, errors.New("not a WebAssembly module: it does not begin with \\0asm")
	}
	if string(module[:len(wasmHeader)]) != wasmHeader {
		return t, fmt.Errorf("not a core WebAssembly module of version 1: version bytes are % x", module[4:8])
	}
	r := reader{module[len(wasmHeader):]}
	for len(r.rest) > 0 {
		id, err := r.byte()
		if err != nil {
			return t, err
		}
		body, err := r.bytes()
		if err != nil {
			return t, fmt.Errorf("section %d: %w", id, err)
		}
		if err := t.section(id, reader{body}); err != nil {
			return t, fmt.Errorf("section %d: %w", id, err)
		}
	}
	return t, nil
}

// section takes what it needs from one section.
func (t *traits) section(id byte, r reader) error {
	switch id {
	case sectionImport:
		return r.vector(checkImport)
	case sectionExport:
		return r.vector(t.export)
	case sectionTable:
		return r.vector(t.table)
	case sectionMemory:
		return r.vector(t.memory)
	}
	if id > sectionLast {
		return errors.New("it is of no known kind")
	}
	return nil
}

// checkImport refuses what a cell does not offer: anything but functions of WASI preview 1, of
// hostModule and of netModule.
func checkImport(r *reader) error {
	module, err := r.name()
	if err != nil {
		return err
	}
	field, err := r.name()
	if err != nil {
		return err
	}
	kind, err := r.byte()
	if err != nil {
		return err
	}
	if module != wasiModule && module != hostModule && module != netModule || kind != 0 {
		return fmt.Errorf("import %.100q.%.100q is not offered: only functions of %s, %s and %s are", module, field, wasiModule, hostModule, netModule)
	}
	_, err = r.u32() // the function's type
	return err
}

// export looks for the function _start.
func (t *traits) export(r *reader) error {
	name, err := r.name()
	if err != nil {
		return err
	}
	kind, err := r.byte()
	if err != nil {
		return err
	}
	t.start = t.start || (name == startName && kind == 0)
	_, err = r.u32() // the index
	return err
}

// table adds a table's minimum.
func (t *traits) table(r *reader) error {
	if _, err := r.byte(); err != nil { // the element type
		return err
	}
	least, err := r.limits()
	t.tableSlots += least
	return err
}

// memory adds a memory's minimum.
func (t *traits) memory(r *reader) error {
	least, err := r.limits()
	t.memoryPages += least
	return err
}
