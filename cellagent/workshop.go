package cellagent

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/cenkalti/backoff/v5"
	"github.com/hashicorp/go-hclog"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/cellagent/work"
)

// workshop does the work of a run: it fetches what the run needs, executes it, and stores what
// it left.
type workshop struct {
	fleet   *fleet
	modules *modules
	runner  Runner
	clock   Clock
	log     hclog.Logger
}

// run fetches a run's blobs and executes it. It returns when no process of it is alive.
func (w *workshop) run(ctx context.Context, r api.Run, job work.Job) work.Outcome {
	path, release, err := w.modules.get(ctx, r.Module, func(ctx context.Context, to io.Writer) error {
		return w.fetch(ctx, r.Module, api.MaxModuleBytes, to)
	})
	if err != nil {
		return unfetched("module", err)
	}
	defer release()
	job.ModulePath = path
	if r.Input != "" {
		var input bytes.Buffer
		if err := w.fetch(ctx, r.Input, api.MaxInputBytes, &input); err != nil {
			return unfetched("input", err)
		}
		job.Stdin = input.Bytes()
	}
	if r.Invocation != "" {
		in, err := w.invocation(ctx, r.Invocation)
		if err != nil {
			return unfetched("invocation", err)
		}
		job.Args, job.Env = in.Args, in.Env
	}
	return w.runner.Run(ctx, job)
}

// invocation fetches and reads a run's arguments and environment. Bounded as bytes, they are
// checked item by item by the runner.
func (w *workshop) invocation(ctx context.Context, d api.Digest) (api.Invocation, error) {
	var raw bytes.Buffer
	// Escaped, a byte of JSON text takes at most six.
	if err := w.fetch(ctx, d, 6*api.MaxInvocation+64<<10, &raw); err != nil {
		return api.Invocation{}, err
	}
	return readInvocation(raw.Bytes())
}

// readInvocation reads one whole JSON document and nothing else.
func readInvocation(raw []byte) (api.Invocation, error) {
	var in api.Invocation
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&in); err != nil {
		return in, api.Refuse(api.InvalidArgument, "the invocation cannot be read: %v", err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return in, api.Refuse(api.InvalidArgument, "the invocation has something behind its end")
	}
	return in, nil
}

// fetch copies a blob of at most most bytes; what can be tried again is, until ctx ends.
func (w *workshop) fetch(ctx context.Context, d api.Digest, most int64, to io.Writer) error {
	reset, ok := to.(interface{ Reset() })
	_, err := backoff.Retry(ctx, func() (struct{}, error) {
		if ok {
			reset.Reset()
		}
		return struct{}{}, permanent(w.fetchOnce(ctx, d, most, to))
	}, backoff.WithBackOff(newRetry()), backoff.WithMaxElapsedTime(0))
	return err
}

func (w *workshop) fetchOnce(ctx context.Context, d api.Digest, most int64, to io.Writer) error {
	fabric, err := w.fleet.get()
	if err != nil {
		return err
	}
	body, size, err := fabric.GetBlob(ctx, d)
	if err != nil {
		return err
	}
	defer func() { _ = body.Close() }() // everything that counts was read
	if size > most {
		return api.Refuse(api.TooLarge, "blob %s has %d bytes: at most %d", d, size, most)
	}
	sum := newSum()
	n, err := io.Copy(io.MultiWriter(to, sum), io.LimitReader(body, most+1))
	if err != nil {
		return fmt.Errorf("read blob %s: %w", d, err)
	}
	if n > most {
		return api.Refuse(api.TooLarge, "blob %s has more than %d bytes", d, most)
	}
	if got := sum.digest(); got != d {
		return api.Refuse(api.DigestMismatch, "blob %s came with the bytes of %s", d, got)
	}
	return nil
}

// permanent marks an error that trying again does not help. One without a kind is of the
// transport, or of this host's disk.
func permanent(err error) error {
	p, ok := api.AsError(err)
	if !ok || p.Retryable || p.Kind == api.DigestMismatch {
		return err
	}
	return backoff.Permanent(err)
}

// unfetched is the outcome of a run whose blobs could not be had. Only what is wrong with a
// blob itself is the run's own failure; everything else may go better elsewhere.
func unfetched(what string, err error) work.Outcome {
	p, ok := api.AsError(err)
	state, kind := api.RunLost, api.WorkerLost
	if ok {
		switch p.Kind { //nolint:exhaustive // the others are about the way to the blob
		case api.NotFound, api.TooLarge, api.InvalidArgument, api.InvalidModule:
			state, kind = api.RunFailed, p.Kind
		}
	}
	if _, stopped := errors.AsType[*stopError](err); stopped {
		state, kind = api.RunLost, api.WorkerLost
	}
	return work.Outcome{State: state, Failure: api.Failure{Kind: kind, Message: clip(fmt.Sprintf("fetch %s: %v", what, err))}}
}
