package harness

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
)

// Build compiles a package as it is released: without debug information and paths.
func Build(ctx context.Context, out, pkg string, env ...string) error {
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", out, pkg)
	cmd.Env = append(cmd.Environ(), env...)
	if text, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build %s: %w: %s", pkg, err, text)
	}
	return nil
}

// Program is the program under test, built once for all tests of a package.
type Program struct {
	// Package is grafos' own, as the tests' folder sees it.
	Package string

	once sync.Once
	dir  string
	err  error
}

// Path builds the program, pure Go, if that was not done yet, and returns where it is.
func (p *Program) Path() (string, error) {
	p.once.Do(func() {
		if p.dir, p.err = os.MkdirTemp("", "grafos-test-"); p.err == nil {
			p.err = Build(context.Background(), p.file(), p.Package, "CGO_ENABLED=0")
		}
	})
	return p.file(), p.err
}

func (p *Program) file() string { return filepath.Join(p.dir, "grafos") }

// Remove removes what Path built.
func (p *Program) Remove() error {
	if p.dir == "" {
		return nil
	}
	return os.RemoveAll(p.dir)
}
