package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/api/client"
	"github.com/grafos/grafos/integration/internal/harness"
)

// runs: gojq, 8 MB of somebody else's program; the first run on a cell compiles it, the
// next ones do not.
func (b *bench) runs(ctx context.Context) error {
	b.title("gojq as a tasklet, from request to output")
	return b.cluster(ctx, 1, func(c *harness.Cluster) error {
		module := filepath.Join(c.Dir(), "gojq.wasm")
		cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", module, "github.com/itchyny/gojq/cmd/gojq")
		cmd.Dir = filepath.Join("examples", "gojq")
		cmd.Env = append(cmd.Environ(), "GOOS=wasip1", "GOARCH=wasm", "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("compile gojq: %w: %s", err, out)
		}
		bytesOf, err := os.ReadFile(module)
		if err != nil {
			return err
		}
		one, err := c.Client(ctx, time.Minute)
		if err != nil {
			return err
		}
		r, err := b.prepare(ctx, one, bytesOf)
		if err != nil {
			return err
		}
		var warm []time.Duration
		for i := range 21 {
			took, err := deploy(ctx, one, r)
			if err != nil {
				return err
			}
			if i == 0 {
				b.say("first run on the cell:  %s (validate and compile %s once)", short(took), api.FormatSize(int64(len(bytesOf))))
				continue
			}
			warm = append(warm, took)
		}
		b.say("every later run:        %s   aim: under 150 ms", spread(warm))
		return one.Close()
	})
}

func (b *bench) prepare(ctx context.Context, one *client.Client, module []byte) (api.RunRequest, error) {
	call, err := json.Marshal(api.Invocation{Args: []string{"-c", ".a | add"}})
	if err != nil {
		return api.RunRequest{}, err
	}
	r := api.RunRequest{
		Provider: "local", Tenant: "dev", Tasklet: "gojq", TTLMs: 60_000, Resources: api.Resources{CPU: 500, Mem: 256 << 20},
	}
	for _, blob := range []struct {
		bytes []byte
		into  *api.Digest
	}{{module, &r.Module}, {[]byte(`{"a":[1,2,3]}`), &r.Input}, {call, &r.Invocation}} {
		*blob.into = api.DigestOf(sha256.Sum256(blob.bytes))
		if err := one.PutBlob(ctx, *blob.into, int64(len(blob.bytes)), bytes.NewReader(blob.bytes)); err != nil {
			return r, err
		}
	}
	return r, nil
}

func deploy(ctx context.Context, one *client.Client, r api.RunRequest) (time.Duration, error) {
	began := time.Now()
	a, err := one.StartRun(ctx, r, api.WriteOptions{})
	for err == nil && !a.State.Terminal() {
		a, err = one.ShowRun(ctx, a.ID, api.ReadOptions{AfterIndex: a.Index, Wait: 10 * time.Second})
	}
	if err != nil {
		return 0, err
	}
	if a.State != api.RunSucceeded || a.Output != "6\n" {
		return 0, fmt.Errorf("run %s is %s with output %q: %s", a.ID, a.State, a.Output, a.Failure.Message)
	}
	return time.Since(began), nil
}
