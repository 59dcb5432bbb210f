package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"
	"time"
)

// TestSameSeed: a seed makes one world. Everything that happens in it is compared, byte for
// byte, and not its hash alone.
func TestSameSeed(t *testing.T) {
	if testing.Short() {
		t.Skip("builds the simulation for wasip1")
	}
	dir := t.TempDir()
	// Faults come together in this world, and members come and go.
	o := order{seed: 5, module: filepath.Join(dir, "sim.wasm"), cache: filepath.Join(dir, "cache"), lines: true, faults: time.Minute}
	build := exec.CommandContext(t.Context(), "go", "test", "-c", "-o", o.module, "github.com/grafos/grafos/integration/sim")
	build.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the simulation: %v\n%s", err, out)
	}
	world := func(o order) []byte {
		t.Helper()
		var out bytes.Buffer
		o.out = &out
		if err := run(t.Context(), o); err != nil {
			t.Fatalf("seed %d: %v\n%s", o.seed, err, tail(out.Bytes()))
		}
		return out.Bytes()
	}
	first, second := world(o), world(o)
	if !bytes.Equal(first, second) {
		t.Errorf("one seed made two worlds: they part at %s", parting(first, second))
	}
	if bytes.Count(first, []byte("\n")) < 500 {
		t.Errorf("hardly anything happens: %s", first)
	}
	if last := tail(first); !regexp.MustCompile(`^seed 5 trace [0-9a-f]{64}$`).Match(last) {
		t.Errorf("the last line is %q", last)
	}
	o.seed = 9
	if bytes.Equal(tail(first)[len("seed 5"):], tail(world(o))[len("seed 9"):]) {
		t.Error("two seeds make one world")
	}
}

// tail is the last line.
func tail(b []byte) []byte {
	b = bytes.TrimSuffix(b, []byte("\n"))
	return b[bytes.LastIndexByte(b, '\n')+1:]
}

// parting is the first line that differs, in both.
func parting(a, b []byte) string {
	as, bs := bytes.Split(a, []byte("\n")), bytes.Split(b, []byte("\n"))
	for i := range min(len(as), len(bs)) {
		if !bytes.Equal(as[i], bs[i]) {
			return string(as[i]) + " | " + string(bs[i])
		}
	}
	return "the end of the shorter one"
}
