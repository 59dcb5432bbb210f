package tasklet

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/experimental"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"

	"github.com/grafos/grafos/api"
)

const (
	// maxResident bounds the compiled modules that a warm worker keeps.
	maxResident = 4
	// compileThreads is how many threads compile one module.
	compileThreads = 2
)

// engine compiles modules and keeps the newest ones resident. It lives in a worker.
type engine struct {
	dir      string // of compiled code; "" when the disk cannot be used
	runtime  wazero.Runtime
	cache    wazero.CompilationCache
	resident []residentModule // least recently used first
}

type residentModule struct {
	digest api.Digest
	traits traits
	code   wazero.CompiledModule
}

// openEngine makes an engine that keeps compiled code in dir.
func openEngine(ctx context.Context, dir string) (*engine, error) {
	e := &engine{dir: dir}
	if err := e.start(ctx); err != nil {
		return nil, err
	}
	return e, nil
}

// start makes the runtime. One serves every memory limit: a run's allocator holds the limit.
func (e *engine) start(ctx context.Context) error {
	e.cache = wazero.NewCompilationCache()
	if e.dir != "" {
		cache, err := wazero.NewCompilationCacheWithDir(e.dir)
		if err != nil {
			return fmt.Errorf("open code cache: %w", err)
		}
		e.cache = cache
	}
	config := wazero.NewRuntimeConfig().WithCompilationCache(e.cache).WithDebugInfoEnabled(false)
	e.runtime = wazero.NewRuntimeWithConfig(ctx, config)
	if _, err := wasi_snapshot_preview1.Instantiate(ctx, e.runtime); err != nil {
		return fmt.Errorf("instantiate wasi: %w", err)
	}
	return instantiateHost(ctx, e.runtime)
}

// find returns a resident module and makes it the most recently used.
func (e *engine) find(d api.Digest) (residentModule, bool) {
	i := slices.IndexFunc(e.resident, func(m residentModule) bool { return m.digest == d })
	if i < 0 {
		return residentModule{}, false
	}
	m := e.resident[i]
	e.resident = append(slices.Delete(e.resident, i, i+1), m)
	return m, true
}

// compile compiles a module, or loads it from the disk cache.
func (e *engine) compile(ctx context.Context, module []byte) (wazero.CompiledModule, error) {
	ctx = experimental.WithCompilationWorkers(ctx, compileThreads)
	code, err := e.runtime.CompileModule(ctx, module)
	if err != nil && e.dir != "" {
		// A full disk or a damaged cache file must not look like a bad module.
		code, err = e.compileAfresh(ctx, module)
	}
	if err != nil {
		return nil, err
	}
	return code, e.checkLinks(code)
}

// checkLinks refuses a module that imports what does not exist, or by another type.
func (e *engine) checkLinks(code wazero.CompiledModule) error {
	for _, f := range code.ImportedFunctions() {
		module, name, _ := f.Import()
		host, ok := e.runtime.Module(module).ExportedFunctionDefinitions()[name]
		if !ok {
			return fmt.Errorf("import %q.%.100q does not exist", module, name)
		}
		if !slices.Equal(f.ParamTypes(), host.ParamTypes()) || !slices.Equal(f.ResultTypes(), host.ResultTypes()) {
			return fmt.Errorf("import %q.%q has another type", module, name)
		}
	}
	return nil
}

// keep makes a module resident and lets the least recently used go.
func (e *engine) keep(ctx context.Context, m residentModule) error {
	for len(e.resident) >= maxResident {
		if err := e.resident[0].code.Close(ctx); err != nil {
			return fmt.Errorf("close module %s: %w", e.resident[0].digest, err)
		}
		e.resident = slices.Delete(e.resident, 0, 1)
	}
	e.resident = append(e.resident, m)
	return nil
}

// compileAfresh compiles without the disk cache. When that succeeds, the cache was at fault:
// it is emptied, and this engine does without it from now on.
func (e *engine) compileAfresh(ctx context.Context, module []byte) (wazero.CompiledModule, error) {
	spare := &engine{}
	if err := spare.start(ctx); err != nil {
		return nil, err
	}
	code, err := spare.runtime.CompileModule(ctx, module)
	if err != nil {
		return nil, err
	}
	if files, err := filepath.Glob(filepath.Join(e.dir, "*", "*")); err == nil {
		for _, f := range files {
			_ = os.Remove(f) // what stays is found out again, and costs a compilation
		}
	}
	*e = *spare
	return code, nil
}

// digests lists what is resident, least recently used first.
func (e *engine) digests() []api.Digest {
	out := make([]api.Digest, len(e.resident))
	for i, m := range e.resident {
		out[i] = m.digest
	}
	return out
}
