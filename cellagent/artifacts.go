package cellagent

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"hash"
	"sync"

	"github.com/cenkalti/backoff/v5"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/cellagent/work"
)

// sum is a SHA-256 under way.
type sum struct{ hash.Hash }

func newSum() sum { return sum{sha256.New()} }

func (s sum) digest() api.Digest { return api.DigestOf([32]byte(s.Sum(nil))) }

// artifact is one output of a run, before it is stored.
type artifact struct {
	api.Artifact
	data []byte
}

func newArtifact(name string, data []byte) artifact {
	return artifact{data: data, Artifact: api.Artifact{
		Name: name, Digest: api.DigestOf(sha256.Sum256(data)), Size: int64(len(data)),
	}}
}

// artifactsOf makes what is kept of an outcome.
func artifactsOf(r api.Run, out work.Outcome) ([]artifact, error) {
	response := api.Response{
		RunID: r.ID, Module: r.Module, State: out.State, ExitCode: out.ExitCode, FuelUsed: out.FuelUsed,
		DurationMs: out.Duration.Milliseconds(), OutputSize: int64(len(out.Stdout)),
		Output: api.DigestOf(sha256.Sum256(out.Stdout)), Net: out.Net,
	}
	if out.Failure != (api.Failure{}) {
		response.Failure = &out.Failure
	}
	raw, err := json.Marshal(response)
	if err != nil {
		return nil, fmt.Errorf("encode response: %w", err)
	}
	made := []artifact{
		newArtifact(api.ArtifactResponse, raw),
		newArtifact(api.ArtifactOutput, base64.StdEncoding.AppendEncode(nil, out.Stdout)),
		newArtifact(api.ArtifactLog, out.Stderr),
	}
	if out.Checkpoint != nil {
		made = append(made, newArtifact(api.ArtifactCheckpoint, out.Checkpoint))
	}
	return made, nil
}

// result stores what a run left and makes its report. A run whose output could not be stored
// is lost, whatever it did: nobody can ever see it. Storing goes on for as long as the
// schedulers can still take the result: they close it a hold-down after its deadline.
func (w *workshop) result(ctx context.Context, r api.Run, out work.Outcome, deadline int64) api.RunReport {
	report := api.RunReport{
		RunID: r.ID, Attempt: r.Attempt, State: out.State, ExitCode: out.ExitCode,
		FuelUsed: out.FuelUsed, DurationMs: out.Duration.Milliseconds(), Failure: out.Failure, Net: out.Net,
	}
	if out.State == api.RunLost {
		return report
	}
	ctx, cancel := context.WithTimeout(ctx, max(left(deadline, w.clock.Now()), 0)+api.DeliveryBound)
	defer cancel()
	kept, err := w.store(ctx, r, out)
	if err != nil {
		w.log.Error("artifacts not stored, run lost", "run_id", r.ID, "error", err)
		report.State = api.RunLost
		report.Failure = api.Failure{Kind: api.WorkerLost, Message: clip(fmt.Sprintf("its output could not be stored: %v", err))}
		return report
	}
	report.Artifacts = kept
	return report
}

func (w *workshop) store(ctx context.Context, r api.Run, out work.Outcome) ([]api.Artifact, error) {
	made, err := artifactsOf(r, out)
	if err != nil {
		return nil, err
	}
	kept := make([]api.Artifact, len(made))
	errs := make([]error, len(made))
	var wg sync.WaitGroup
	for i, a := range made {
		kept[i] = a.Artifact
		wg.Go(func() { errs[i] = w.put(ctx, a) })
	}
	wg.Wait()
	for i, err := range errs {
		if err != nil {
			return nil, fmt.Errorf("put %s: %w", kept[i].Name, err)
		}
	}
	return kept, nil
}

func (w *workshop) put(ctx context.Context, a artifact) error {
	_, err := backoff.Retry(ctx, func() (struct{}, error) {
		fabric, err := w.fleet.get()
		if err != nil {
			return struct{}{}, backoff.Permanent(err)
		}
		return struct{}{}, permanent(fabric.PutBlob(ctx, a.Digest, a.Size, bytes.NewReader(a.data)))
	}, backoff.WithBackOff(newRetry()), backoff.WithMaxElapsedTime(0))
	return err
}
