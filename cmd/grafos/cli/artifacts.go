package cli

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/cmd/grafos/internal/ui"
)

type artifactsOptions struct {
	name string
	out  string
}

// artifactList is the document of artifacts: that part of the run's.
type artifactList struct {
	Index     uint64             `json:"index"`
	RunID     api.RunID          `json:"run_id"`
	Artifacts []artifactDocument `json:"artifacts"`
}

type artifactDocument struct {
	api.Artifact
	Path string `json:"path,omitempty"` // where it was written to
	Data []byte `json:"data,omitempty"` // base64; of --name without --out
}

func (a *app) artifacts() *cobra.Command {
	var o artifactsOptions
	cmd := &cobra.Command{
		Use:   "artifacts RUN",
		Short: "What a run left: list it, or fetch it with --name and --out",
		Long: `List the artifacts of a run. With --name one of them is written to standard output, or to
--out FILE; with --out DIR alone all of them are written into that directory. What is
fetched is checked against its digest.`,
		Example: "  grafos artifacts RUN --name output.b64 | base64 -d\n  grafos artifacts RUN --out results/",
		Args:    exactly("RUN"),
		RunE: a.online(func(ctx context.Context, s *session, args []string) error {
			return s.runID(ctx, args[0], func(id api.RunID) error { return o.run(ctx, s, a.o.Dir, id) })
		}),
	}
	fs := cmd.Flags()
	fs.StringVar(&o.name, "name", "", "fetch the artifact of this `name`")
	fs.StringVar(&o.out, "out", "", "write to this `file`, or all artifacts into this directory")
	return cmd
}

func (o *artifactsOptions) run(ctx context.Context, s *session, cwd string, id api.RunID) error {
	answer, err := s.ShowRun(ctx, id, s.Read())
	if err != nil {
		return err
	}
	doc := artifactList{Index: answer.Index, RunID: answer.ID, Artifacts: []artifactDocument{}}
	for _, art := range answer.Artifacts {
		if o.name == "" || o.name == art.Name {
			doc.Artifacts = append(doc.Artifacts, artifactDocument{Artifact: art})
		}
	}
	if o.name != "" && len(doc.Artifacts) == 0 {
		return noArtifact(answer.Run, o.name)
	}
	switch {
	case o.name == "" && o.out == "":
	case o.out == "" || o.out == "-":
		return o.toOutput(ctx, s, answer.Run, doc)
	case o.name != "":
		path := under(cwd, o.out)
		err = s.saveArtifact(ctx, filepath.Dir(path), filepath.Base(path), answer.Run, &doc.Artifacts[0])
	default:
		err = s.saveAll(ctx, under(cwd, o.out), answer.Run, doc.Artifacts)
	}
	if err != nil {
		return err
	}
	return s.Print(doc, func(p *ui.Page) { artifactsView(p, doc.Artifacts) })
}

func noArtifact(run api.Run, name string) error {
	names := make([]string, len(run.Artifacts))
	for i, a := range run.Artifacts {
		names[i] = a.Name
	}
	problem := api.Refuse(api.NotFound, "run %s has no artifact %q", run.ID, ui.Clean(name))
	if len(names) > 0 {
		return problem.WithHint("it has %s", strings.Join(names, ", "))
	}
	return problem
}

// toOutput writes one artifact to standard output, raw or within a document.
func (o *artifactsOptions) toOutput(ctx context.Context, s *session, run api.Run, doc artifactList) error {
	if o.name == "" {
		return api.Refuse(api.InvalidArgument, "--out - needs --name: only one artifact goes to standard output")
	}
	one := &doc.Artifacts[0]
	if !s.Output.Machine() {
		return s.copyArtifact(ctx, s.Out, run, one.Artifact)
	}
	var data bytes.Buffer
	if err := s.copyArtifact(ctx, &data, run, one.Artifact); err != nil {
		return err
	}
	one.Data = data.Bytes()
	return s.Print(doc, nil)
}

// saveAll writes every artifact into dir under its own name. Names come from the tasklet:
// the root keeps them within dir.
func (s *session) saveAll(ctx context.Context, dir string, run api.Run, artifacts []artifactDocument) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return api.Refuse(api.InvalidArgument, "make %s: %v", dir, err)
	}
	for i := range artifacts {
		if err := s.saveArtifact(ctx, dir, artifacts[i].Name, run, &artifacts[i]); err != nil {
			return err
		}
	}
	return nil
}

// saveArtifact writes one artifact to a file in dir. One that does not match its digest
// leaves no file.
func (s *session) saveArtifact(ctx context.Context, dir, file string, run api.Run, doc *artifactDocument) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return api.Refuse(api.InvalidArgument, "%v", err)
	}
	part := file + ".part"
	err = s.writeInto(ctx, root, part, run, doc.Artifact)
	if err == nil {
		err = root.Rename(part, file)
	} else if slices.Contains([]api.Kind{api.DigestMismatch, api.OutcomeUnknown, api.Internal}, api.KindOf(err)) {
		// What is left of it is of no use; that it cannot be removed either changes nothing.
		_ = root.Remove(part)
	}
	if closeErr := root.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return fmt.Errorf("save %s: %w", ui.Clean(file), err)
	}
	doc.Path = filepath.Join(dir, file)
	return nil
}

func (s *session) writeInto(ctx context.Context, root *os.Root, name string, run api.Run, want api.Artifact) error {
	f, err := root.Create(name)
	if err != nil {
		return api.Refuse(api.InvalidArgument, "%v", err)
	}
	err = s.copyArtifact(ctx, io.Writer(f), run, want)
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	return err
}
