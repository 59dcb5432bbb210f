package tasklet

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/experimental"
	"github.com/tetratelabs/wazero/sys"

	"github.com/grafos/grafos/api"
)

// maxFailureMessage bounds what a guest's end says, stack trace included.
const maxFailureMessage = 4 << 10

// runGuest runs a compiled command module to its end. Its output has gone to up when
// it returns.
func (e *engine) runGuest(ctx context.Context, code wazero.CompiledModule, job jobMessage, stdin []byte, up io.Writer) (doneMessage, error) {
	limit := &memoryLimit{bytes: uint64(job.Memory / wasmPage * wasmPage)}
	ctx = experimental.WithMemoryAllocator(ctx, limit)
	start := time.Now()
	mod, err := e.runtime.InstantiateModule(ctx, code, guestConfig(job, stdin, up))
	if err == nil {
		_, err = mod.ExportedFunction(startName).Call(ctx)
		err = errors.Join(err, mod.Close(ctx))
	}
	if sock, ok := errors.AsType[*socketError](err); ok {
		return doneMessage{}, sock
	}
	done := verdict(err, limit)
	done.Duration = int64(time.Since(start))
	return done, nil
}

// guestConfig gives a guest what it may have: arguments, environment, streams, a clock and
// random numbers of its own. Names are left out, so that instances never collide.
func guestConfig(job jobMessage, stdin []byte, up io.Writer) wazero.ModuleConfig {
	clock := &guestClock{}
	config := wazero.NewModuleConfig().
		WithName("").
		WithStartFunctions(). // runGuest calls _start, and sees its error as it is
		WithArgs(append([]string{job.Name}, job.Args...)...).
		WithStdin(bytes.NewReader(stdin)).
		WithStdout(newCappedWriter(up, frameStdout, "stdout", job.MaxOutput)).
		WithStderr(newCappedWriter(up, frameStderr, "stderr", job.MaxLog)).
		WithWalltime(clock.walltime, sys.ClockResolution(guestStep)).
		WithNanotime(clock.nanotime, sys.ClockResolution(guestStep)).
		WithNanosleep(clock.nanosleep)
	for _, kv := range job.Env {
		key, value, _ := strings.Cut(kv, "=")
		config = config.WithEnv(key, value)
	}
	return config
}

// verdict says what a guest's end means. After a refused growth of memory, a guest that does
// not succeed has failed for want of memory, however it says so. Only a guest that ended by
// its own exit leaves its worker fit for another.
func verdict(err error, limit *memoryLimit) doneMessage {
	if err == nil {
		return doneMessage{State: api.RunSucceeded, Clean: true}
	}
	done := doneMessage{State: api.RunFailed, Failure: api.Failure{Kind: api.Trap, Message: clip(err.Error(), maxFailureMessage)}}
	if over, ok := errors.AsType[*outputExceededError](err); ok {
		done.Failure = api.Failure{Kind: api.OutputExceeded, Message: over.Error()}
		return done
	}
	if exit, ok := errors.AsType[*sys.ExitError](err); ok {
		if exit.ExitCode() == 0 {
			return doneMessage{State: api.RunSucceeded, Clean: true}
		}
		done.Clean = true
		done.ExitCode = int(exit.ExitCode())
		done.Failure = api.Failure{Kind: api.ExitNonzero, Message: fmt.Sprintf("exit code %d", exit.ExitCode())}
	}
	if limit.refused {
		done.Clean = false
		done.Failure = api.Failure{
			Kind:    api.MemoryExceeded,
			Message: fmt.Sprintf("memory beyond the limit of %d bytes was refused; then: %s", limit.bytes, done.Failure.Message),
		}
	}
	return done
}

func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "") + "..."
}
