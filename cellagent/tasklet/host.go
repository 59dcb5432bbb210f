package tasklet

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	grafos "github.com/grafos/grafos/api"
)

// hostModule is what a tasklet may import beside WASI: its leases' time, and the way to leave
// something behind when their end is announced.
const hostModule = "grafos_v0"

// The status codes of the host functions.
const (
	statusOK          = 0
	statusCapacity    = -4 // more than may be handed over, or not in the guest's memory
	statusUnsupported = -5 // nobody asked for it
)

// termKey carries the run's term to the host functions.
type termKey struct{}

// running is what the host functions of one run work on.
type running struct {
	term    *term
	up      io.Writer
	replies func() ([]byte, error) // waits for the next one of the agent's
}

func withRunning(ctx context.Context, r *running) context.Context {
	return context.WithValue(ctx, termKey{}, r)
}

// hostFunctions lists the functions of hostModule by name.
func hostFunctions() map[string]any {
	return map[string]any{
		// lease_left() -> i64: milliseconds until the run's leases end.
		"lease_left": func(ctx context.Context) int64 {
			deadline, _ := termOf(ctx).now()
			return left(deadline)
		},
		// notice() -> i64: milliseconds until the run is forced down, -1 while its end is not announced.
		"notice": func(ctx context.Context) int64 {
			_, warned := termOf(ctx).now()
			if warned == 0 {
				return -1
			}
			return left(warned)
		},
		// checkpoint(ptr, len) -> i32: hands what the guest has over and lets it be ended.
		"checkpoint": checkpoint,
	}
}

func termOf(ctx context.Context) *term {
	if r, ok := ctx.Value(termKey{}).(*running); ok {
		return r.term
	}
	return &term{}
}

// left is what is left until a moment, in whole milliseconds, 0 when it is past.
func left(at int64) int64 { return max(time.Duration(at-BootTime()), 0).Milliseconds() }

func checkpoint(ctx context.Context, m api.Module, ptr, size uint32) int32 {
	r, ok := ctx.Value(termKey{}).(*running)
	if !ok {
		return statusUnsupported
	}
	b, inside := m.Memory().Read(ptr, size)
	if !inside || size > grafos.MaxCheckpointBytes {
		return statusCapacity
	}
	if !r.term.save() {
		return statusUnsupported
	}
	if err := writeFrame(r.up, frameSaved, b); err != nil {
		panic(&socketError{err}) // the guest ends, as it does when its output cannot be written
	}
	return statusOK
}

// instantiateHost offers hostModule and netModule to the guests of a runtime.
func instantiateHost(ctx context.Context, runtime wazero.Runtime) error {
	for module, functions := range map[string]map[string]any{hostModule: hostFunctions(), netModule: netFunctions()} {
		b := runtime.NewHostModuleBuilder(module)
		for name, fn := range functions {
			b = b.NewFunctionBuilder().WithFunc(fn).Export(name)
		}
		if _, err := b.Instantiate(ctx); err != nil {
			return fmt.Errorf("instantiate %s: %w", module, err)
		}
	}
	return nil
}
