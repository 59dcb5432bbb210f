package server

import (
	"io"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/grafos/grafos/api"
)

// maxArchive bounds an archive that is restored, in bytes.
const maxArchive = 16 << 30

// saveSnapshot sends the leader's archive, whoever is asked, or, stale, this scheduler's own.
func (s *server) saveSnapshot(x *exchange, r *http.Request) error {
	stale, err := boolParam(r, "stale")
	if err != nil {
		return err
	}
	if !stale {
		if done, err := s.forward(x, r, nil, r.Header.Get(headForwarded)); done || err != nil {
			return err
		}
	}
	body, err := s.config.Services.SaveSnapshot(r.Context(), stale)
	if err != nil {
		return err
	}
	defer func() { _ = body.Close() }() // it was only read
	x.Header().Set("Content-Type", "application/octet-stream")
	if _, err := io.Copy(&patient{x: x, control: http.NewResponseController(x)}, body); err != nil {
		s.config.Log.Warn("snapshot not sent whole", "request_id", x.id, "error", err)
		if x.status == 0 {
			return err
		}
		x.aborted = true // the reader must not take half an archive for a whole one
	}
	return nil
}

// patient gives the reader time for every piece.
type patient struct {
	x       *exchange
	control *http.ResponseController
}

// Write sends one piece.
func (p *patient) Write(b []byte) (int, error) {
	_ = p.control.SetWriteDeadline(time.Now().Add(blobGrace)) // a test's recorder has none
	return p.x.Write(b)
}

func (s *server) restoreSnapshot(x *exchange, r *http.Request) error {
	size := r.ContentLength
	if size < 0 {
		return api.Refuse(api.InvalidArgument, "an archive is sent with its Content-Length")
	}
	if size > maxArchive {
		return tooLarge(maxArchive)
	}
	if err := ensureKey(r); err != nil {
		return err
	}
	o, err := plainOptions(r)
	if err != nil {
		return err
	}
	x.within(blobTime(size))
	body := &honest{r: http.MaxBytesReader(x, r.Body, maxArchive)}
	report, err := s.config.Services.RestoreSnapshot(r.Context(), size, body, o)
	if err != nil {
		if _, ok := api.AsError(err); !ok && body.err != nil {
			return bodyError(body.err, blobTime(size))
		}
		return err
	}
	x.answer(http.StatusOK, report)
	return nil
}

func describeSave(op *huma.Operation) {
	describeDownload(op)
	op.Parameters = append(op.Parameters, &huma.Param{
		Name: "stale", In: "query", Schema: &huma.Schema{Type: huma.TypeBoolean}, Description: "Take this scheduler's state, whoever leads.",
	})
	op.Responses["200"].Description = "An archive: a manifest with the payload's size and SHA-256, and the payload."
}

func describeRestore(op *huma.Operation) {
	describeUpload(op)
	delete(op.Responses, "204")
	op.Parameters = append(op.Parameters,
		&huma.Param{Name: "reason", In: "query", Schema: &huma.Schema{Type: huma.TypeString}, Description: "Why, for the audit chain."},
		&huma.Param{Name: "dry_run", In: "query", Schema: &huma.Schema{Type: huma.TypeBoolean}, Description: "Say what would change, and change nothing."},
		&huma.Param{Name: headKey, In: "header", Schema: &huma.Schema{Type: huma.TypeString}, Description: "Makes repeating the restore harmless."},
	)
	op.Responses["200"] = &huma.Response{Description: "The state is replaced: RestoreReport."}
}
