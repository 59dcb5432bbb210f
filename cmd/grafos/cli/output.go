package cli

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"slices"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/cmd/grafos/internal/ui"
)

// printOutput writes what a tasklet wrote: its standard error to ours, its standard output
// to ours, byte for byte. Why it did not succeed comes last.
func (s *session) printOutput(ctx context.Context, run *api.RunAnswer) error {
	logs, err := s.artifact(ctx, run.Run, api.ArtifactLog)
	if err != nil {
		return err
	}
	if _, err := s.Err.Write(logs); err != nil {
		return fmt.Errorf("write the tasklet's standard error: %w", err)
	}
	out, err := s.rawOutput(ctx, run)
	if err != nil {
		return err
	}
	if _, err := s.Out.Write(out); err != nil {
		return fmt.Errorf("write the tasklet's output: %w", err)
	}
	if run.State != api.RunSucceeded {
		s.showFailure(run.Run, len(logs) > 0 && logs[len(logs)-1] != '\n')
	}
	return nil
}

// showFailure says in a line why a run did not succeed.
func (s *session) showFailure(run api.Run, midLine bool) {
	if midLine {
		s.Note("")
	}
	message := run.Failure.Message
	if message == "" {
		message = "the run ended " + string(run.State)
	}
	kind := string(run.Failure.Kind)
	if kind == "" {
		kind = string(run.State)
	}
	s.Note("Error: %s  (%s)", message, kind)
	if run.ExitCode != 0 {
		s.Note("run %s on %s, exit code %d", run.ID, run.CellID, run.ExitCode)
		return
	}
	s.Note("run %s on %s", run.ID, run.CellID)
}

// rawOutput returns what the tasklet wrote to its standard output.
func (s *session) rawOutput(ctx context.Context, run *api.RunAnswer) ([]byte, error) {
	if run.Output != "" {
		return []byte(run.Output), nil
	}
	text, err := s.artifact(ctx, run.Run, api.ArtifactOutput)
	if err != nil {
		return nil, err
	}
	out, err := io.ReadAll(base64.NewDecoder(base64.StdEncoding, bytes.NewReader(text)))
	if err != nil {
		return nil, api.Refuse(api.DigestMismatch, "%s of run %s is not base64: %v", api.ArtifactOutput, run.ID, err)
	}
	return out, nil
}

// maxArtifact bounds an artifact that is held whole: the output in base64, and some.
const maxArtifact = 2 * api.MaxOutputBytes

// artifact reads one artifact of a run whole and checks it against its digest; one that
// the run does not have is empty.
func (s *session) artifact(ctx context.Context, run api.Run, name string) ([]byte, error) {
	i := slices.IndexFunc(run.Artifacts, func(a api.Artifact) bool { return a.Name == name })
	if i < 0 || run.Artifacts[i].Size == 0 {
		return nil, nil
	}
	want := run.Artifacts[i]
	if want.Size > maxArtifact {
		return nil, api.Refuse(api.TooLarge, "artifact %s of run %s has %s", ui.Clean(name), run.ID, api.FormatSize(want.Size))
	}
	var data bytes.Buffer
	if err := s.copyArtifact(ctx, &data, run, want); err != nil {
		return nil, err
	}
	return data.Bytes(), nil
}

// copyArtifact copies an artifact to w. That the bytes are not those of the record is
// known only at their end: the error is digest_mismatch.
func (s *session) copyArtifact(ctx context.Context, w io.Writer, run api.Run, want api.Artifact) (err error) {
	body, _, err := s.RunArtifact(ctx, run.ID, want.Name)
	if err != nil {
		return fmt.Errorf("fetch artifact %s: %w", ui.Clean(want.Name), err)
	}
	defer func() {
		if closeErr := body.Close(); err == nil {
			err = closeErr
		}
	}()
	sum := sha256.New()
	if _, err := io.Copy(io.MultiWriter(w, sum), io.LimitReader(body, want.Size+1)); err != nil {
		return fmt.Errorf("fetch artifact %s: %w", ui.Clean(want.Name), err)
	}
	if got := api.DigestOf([sha256.Size]byte(sum.Sum(nil))); got != want.Digest {
		return api.Refuse(api.DigestMismatch, "artifact %s of run %s came as %s, its record says %s", ui.Clean(want.Name), run.ID, got, want.Digest)
	}
	return nil
}
