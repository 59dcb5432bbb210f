package server

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/grafos/grafos/api"
)

// blobRate is the slowest sender and reader of a blob that is waited for, in bytes a second,
// after blobGrace.
const (
	blobRate  = 64 << 10
	blobGrace = 30 * time.Second
)

func (s *server) putBlob(x *exchange, r *http.Request) error {
	return takeBlob(x, r, s.config.Services.PutBlob)
}

func (s *server) getBlob(x *exchange, r *http.Request) error {
	d, err := digestOf(r)
	if err != nil {
		return err
	}
	body, size, err := s.config.Services.GetBlob(r.Context(), d)
	if err != nil {
		return err
	}
	return sendBlob(x, body, d, size, "application/octet-stream")
}

func (s *server) headBlob(x *exchange, r *http.Request) error {
	d, err := digestOf(r)
	if err != nil {
		return err
	}
	has, err := s.config.Services.HasBlob(r.Context(), d)
	if err != nil {
		return err
	}
	if !has {
		return api.Refuse(api.NotFound, "no quorum has blob %s", d)
	}
	x.Header().Set(headDigest, string(d))
	x.WriteHeader(http.StatusOK)
	return nil
}

// digestOf reads the digest of the path.
func digestOf(r *http.Request) (api.Digest, error) {
	d := api.Digest(r.PathValue("digest"))
	return d, api.CheckDigest(d)
}

// takeBlob streams the body to put, which checks the digest.
func takeBlob(x *exchange, r *http.Request, put func(context.Context, api.Digest, int64, io.Reader) error) error {
	d, err := digestOf(r)
	if err != nil {
		return err
	}
	size := r.ContentLength
	if size < 0 {
		return api.Refuse(api.InvalidArgument, "a blob is sent with its Content-Length")
	}
	if size > api.MaxModuleBytes {
		return tooLarge(api.MaxModuleBytes)
	}
	x.within(blobTime(size))
	body := &honest{r: http.MaxBytesReader(x, r.Body, api.MaxModuleBytes)}
	if err := put(r.Context(), d, size, body); err != nil {
		if _, ok := api.AsError(err); !ok && body.err != nil {
			return bodyError(body.err, blobTime(size))
		}
		return err
	}
	x.WriteHeader(http.StatusNoContent)
	return nil
}

// honest remembers that the fault was the sender's.
type honest struct {
	r   io.Reader
	err error
}

// Read reads, and keeps the error.
func (h *honest) Read(p []byte) (int, error) {
	n, err := h.r.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		h.err = err
	}
	return n, err
}

// sendBlob sends size bytes of body and closes it. A body that breaks off cuts the answer off.
func sendBlob(x *exchange, body io.ReadCloser, d api.Digest, size int64, contentType string) error {
	defer func() { _ = body.Close() }()
	h := x.Header()
	h.Set("Content-Type", contentType)
	h.Set("Content-Length", strconv.FormatInt(size, 10))
	h.Set(headDigest, string(d))
	_ = http.NewResponseController(x).SetWriteDeadline(time.Now().Add(blobTime(size)))
	x.WriteHeader(http.StatusOK)
	if x.request.Method == http.MethodHead {
		return nil
	}
	if n, err := io.Copy(x, body); err != nil || n != size {
		x.aborted = true
	}
	return nil
}

// blobTime is how long size bytes may take.
func blobTime(size int64) time.Duration {
	return blobGrace + time.Duration(size/blobRate)*time.Second
}

func describeUpload(op *huma.Operation) {
	op.Parameters = pathParams(op.Path)
	op.RequestBody = &huma.RequestBody{
		Required: true,
		Content:  map[string]*huma.MediaType{"application/octet-stream": {Schema: binarySchema()}},
	}
	op.Responses["204"] = &huma.Response{Description: "A quorum of schedulers has the bytes on disk."}
}

func describeHead(op *huma.Operation) {
	op.Parameters = pathParams(op.Path)
	op.Responses["200"] = &huma.Response{Description: "A quorum of schedulers has the blob."}
	op.Responses["404"] = &huma.Response{Description: "It has not; Grafos-Kind is not_found."}
}
