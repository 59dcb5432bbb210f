package cli

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"

	"golang.org/x/sync/errgroup"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/cmd/grafos/internal/ui"
)

// blob is bytes with their address; the zero blob is none.
type blob struct {
	digest api.Digest
	data   []byte
}

// newBlob addresses data; no bytes are no blob.
func newBlob(data []byte) blob {
	if len(data) == 0 {
		return blob{}
	}
	return blob{digest: api.DigestOf(sha256.Sum256(data)), data: data}
}

// readBlob reads a file that must not be empty.
func readBlob(path string, limit int64) (blob, error) {
	data, err := ui.ReadBounded(path, limit)
	if err != nil {
		return blob{}, err
	}
	if len(data) == 0 {
		return blob{}, api.Refuse(api.InvalidArgument, "%s is empty", path)
	}
	return newBlob(data), nil
}

// readInput reads what a run gets as standard input: a file, - for ours, "" for nothing.
func readInput(path string, stdin io.Reader) (blob, error) {
	if path == "" {
		return blob{}, nil
	}
	if path != "-" {
		data, err := ui.ReadBounded(path, api.MaxInputBytes)
		return newBlob(data), err
	}
	data, err := io.ReadAll(io.LimitReader(stdin, api.MaxInputBytes+1))
	if err != nil {
		return blob{}, fmt.Errorf("read standard input: %w", err)
	}
	if len(data) > api.MaxInputBytes {
		return blob{}, api.Refuse(api.TooLarge, "standard input has more than %s", api.FormatSize(api.MaxInputBytes))
	}
	return newBlob(data), nil
}

// invocation makes the blob of a run's arguments and environment.
func invocation(args, env []string) (blob, error) {
	if len(args) == 0 && len(env) == 0 {
		return blob{}, nil
	}
	if len(args) > api.MaxArgs || len(env) > api.MaxEnv {
		return blob{}, api.Refuse(api.TooLarge, "%d arguments and %d variables: there may be %d and %d", len(args), len(env), api.MaxArgs, api.MaxEnv)
	}
	data, err := json.Marshal(api.Invocation{Args: args, Env: env})
	if err != nil {
		return blob{}, fmt.Errorf("encode invocation: %w", err)
	}
	if len(data) > api.MaxInvocation {
		return blob{}, api.Refuse(api.TooLarge, "arguments and environment have %s: they may have %s",
			api.FormatSize(int64(len(data))), api.FormatSize(api.MaxInvocation))
	}
	return newBlob(data), nil
}

// upload puts the blobs that the schedulers do not have yet, all at once.
func (s *session) upload(ctx context.Context, blobs ...blob) error {
	g, ctx := errgroup.WithContext(ctx)
	for _, b := range blobs {
		if b.digest == "" {
			continue
		}
		g.Go(func() error {
			has, err := s.HasBlob(ctx, b.digest)
			if has || err != nil {
				return err
			}
			return s.PutBlob(ctx, b.digest, int64(len(b.data)), bytes.NewReader(b.data))
		})
	}
	return g.Wait()
}
