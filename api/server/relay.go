package server

import (
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/grafos/grafos/api"
)

const (
	octets = "application/octet-stream"
	// maxRelayProblem bounds a problem that a cell brings.
	maxRelayProblem = 64 << 10
	// maxLeaseToken and maxProof bound what is carried of a token and a proof.
	maxLeaseToken, maxProof = 4 << 10, 1 << 10
)

// leaseData carries a read or a write to the cell of a lease.
func (s *server) leaseData(x *exchange, r *http.Request) error {
	req, err := dataRequest(x, r)
	if err != nil {
		return err
	}
	sent := &owed{r: req.Body, left: req.Length}
	if req.Write {
		x.within(blobTime(req.Length))
		req.Body = sent
	}
	answer, err := s.config.Services.LeaseData(r.Context(), req)
	if err != nil {
		err = sent.blame(err, s.bodyTime, blobTime(req.Length))
		x.cutOff()
		return err
	}
	h := x.Header()
	if answer.Nonce != "" {
		h.Set(api.HeaderNonce, answer.Nonce)
	}
	if answer.Body == nil {
		x.WriteHeader(http.StatusNoContent)
		return nil
	}
	defer func() { _ = answer.Body.Close() }()
	h.Set("Content-Type", octets)
	h.Set("Content-Length", strconv.FormatInt(answer.Length, 10))
	_ = http.NewResponseController(x).SetWriteDeadline(time.Now().Add(blobTime(answer.Length)))
	x.WriteHeader(http.StatusOK)
	if n, err := io.Copy(x, io.LimitReader(answer.Body, answer.Length)); err != nil || n != answer.Length {
		x.aborted = true
	}
	return nil
}

// owed is a body that somebody else reads. It knows for how long its sender was waited for.
type owed struct {
	r io.Reader

	mu     sync.Mutex
	left   int64         // guarded by mu: how much did not come yet
	waited time.Duration // guarded by mu
	since  time.Time     // guarded by mu: since when it is waited for; zero while it is not
	err    error         // guarded by mu: how it ended
}

// Read reads, and takes the time.
func (b *owed) Read(p []byte) (int, error) {
	b.mu.Lock()
	b.since = time.Now()
	b.mu.Unlock()
	n, err := b.r.Read(p)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.left -= int64(n)
	b.waited += time.Since(b.since)
	b.since, b.err = time.Time{}, err
	return n, err
}

// blame turns "it did not answer in time" into what it is where the body is still owed and was waited for
// longer than patience, or ran out of the time that it had.
func (b *owed) blame(err error, patience, had time.Duration) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	waited := b.waited
	if !b.since.IsZero() {
		waited += time.Since(b.since)
	}
	ne, timed := errors.AsType[net.Error](b.err)
	switch {
	case timed && ne.Timeout():
		waited = had
	case api.KindOf(err) != api.OutcomeUnknown || b.left <= 0 || b.err != nil || waited < patience:
		return err
	}
	return bodyLate(waited.Round(time.Second / 10)).WithHint("what had arrived of it may be written: send it again")
}

// cutOff ends the time of a body that was given up. It may still be read by whoever takes it over to the
// other side, and over HTTP/1 no answer leaves before that reader has let go.
func (x *exchange) cutOff() {
	if !x.unread.left.CompareAndSwap(coming, lost) && x.unread.ReadCloser != nil {
		return // nobody reads any more
	}
	x.within(0)
}

// dataRequest reads what is asked for.
func dataRequest(x *exchange, r *http.Request) (api.DataRequest, error) {
	req := api.DataRequest{
		Lease: api.LeaseID(r.PathValue("id")), Write: r.Method == http.MethodPut,
		Token: r.Header.Get(api.HeaderLeaseToken), Proof: r.Header.Get(api.HeaderProof),
	}
	if err := checkCredentials(req); err != nil {
		return req, err
	}
	var err error
	if req.Sync, err = api.WantsSync(r.URL.Query()); err != nil {
		return req, err
	}
	if req.Offset, err = wholeQuery(r, "offset", 0); err != nil {
		return req, err
	}
	if req.Length, err = wholeQuery(r, "length", -1); err != nil {
		return req, err
	}
	switch {
	case req.Length >= 0:
	case req.Write && r.ContentLength >= 0:
		req.Length = r.ContentLength
	case !req.Write:
		return req, api.Refuse(api.InvalidArgument, "a read through a scheduler says its length: length=N in the query, at most %d", api.MaxRelay)
	}
	if req.Length > api.MaxRelay {
		return req, tooLarge(api.MaxRelay)
	}
	if req.Write {
		if r.ContentLength < 0 || r.ContentLength != req.Length {
			return req, api.Refuse(api.InvalidArgument, "a write is sent with its Content-Length; a length in the query is the same")
		}
		req.Body = http.MaxBytesReader(x, r.Body, api.MaxRelay)
	}
	return req, nil
}

// checkCredentials bounds what is carried to the cell, which judges it.
func checkCredentials(req api.DataRequest) error {
	switch {
	case req.Token == "":
		return api.Refuse(api.Unauthenticated, "the request carries no capability token of the lease: send it as %s: TOKEN", api.HeaderLeaseToken).
			WithHint("grafos lease token %s", clip(string(req.Lease), api.MaxNameLen))
	case len(req.Token) > maxLeaseToken:
		return api.Refuse(api.TooLarge, "the capability token is %d bytes long: at most %d", len(req.Token), maxLeaseToken)
	case len(req.Proof) > maxProof:
		return api.Refuse(api.TooLarge, "the holder's proof is %d bytes long: at most %d", len(req.Proof), maxProof)
	}
	return nil
}

// wholeQuery reads a number of bytes of the query; def is what it is where there is none.
func wholeQuery(r *http.Request, name string, def int64) (int64, error) {
	if !r.URL.Query().Has(name) {
		return def, nil
	}
	raw := r.URL.Query().Get(name)
	n, err := strconv.ParseInt(raw, 10, 64)
	if err != nil || n < 0 {
		return 0, api.Refuse(api.InvalidArgument, "query %s %q is not a whole number of bytes", name, clip(raw, 40))
	}
	return n, nil
}

// relayBody sends a cell what it is asked to write.
func (s *server) relayBody(x *exchange, r *http.Request) error {
	body, err := s.config.Agent.RelayBody(r.Context(), api.CallerFrom(r.Context()).Cell, r.PathValue("ask"))
	if err != nil {
		return err
	}
	defer func() { _ = body.Close() }()
	x.Header().Set("Content-Type", octets)
	_ = http.NewResponseController(x).SetWriteDeadline(time.Now().Add(blobTime(api.MaxRelay)))
	x.WriteHeader(http.StatusOK)
	if _, err := io.Copy(flushing{x, http.NewResponseController(x)}, body); err != nil {
		x.aborted = true
	}
	return nil
}

// flushing sends each piece at once.
type flushing struct {
	x       *exchange
	control *http.ResponseController
}

// Write sends a piece.
func (f flushing) Write(b []byte) (int, error) {
	n, err := f.x.Write(b)
	if err == nil {
		_ = f.control.Flush() // a recorder of a test has none
	}
	return n, err
}

// relayAnswer takes what a cell answers.
func (s *server) relayAnswer(x *exchange, r *http.Request) error {
	x.within(blobTime(max(r.ContentLength, 0)))
	a := api.RelayAnswer{Nonce: r.Header.Get(api.HeaderNonce), Length: r.ContentLength}
	switch {
	case r.ContentLength < 0 || r.ContentLength > api.MaxRelay:
		return tooLarge(api.MaxRelay)
	case r.Header.Get("Content-Type") == problemType:
		text, err := io.ReadAll(http.MaxBytesReader(x, r.Body, maxRelayProblem))
		if err != nil {
			return bodyError(err, blobTime(r.ContentLength))
		}
		a.Problem = new(api.Error)
		if err := json.Unmarshal(text, a.Problem); err != nil || a.Problem.Kind == "" {
			return api.Refuse(api.InvalidArgument, "the problem cannot be read")
		}
		a.Length = 0
	default:
		a.Body = http.MaxBytesReader(x, r.Body, api.MaxRelay)
	}
	err := s.config.Agent.RelayAnswer(r.Context(), api.CallerFrom(r.Context()).Cell, r.PathValue("ask"), a)
	if err != nil {
		x.cutOff()
		return err
	}
	x.WriteHeader(http.StatusNoContent)
	return nil
}

func describeData(write bool) func(*huma.Operation) {
	return func(op *huma.Operation) {
		if write {
			describeUpload(op)
			op.Responses["204"] = &huma.Response{Description: "The cell has taken the bytes."}
		} else {
			describeDownload(op)
			op.Responses["200"] = &huma.Response{
				Description: "The bytes.",
				Content:     map[string]*huma.MediaType{octets: {Schema: binarySchema()}},
			}
		}
		op.Parameters = append(pathParams(op.Path),
			queryParam("offset", huma.TypeInteger, "Where to begin, in bytes."),
			queryParam("length", huma.TypeInteger, "How many bytes: at most 8 MiB."),
			queryParam("sync", huma.TypeInteger, "1 has a write on the cell's disk when it is answered."),
			headParam(api.HeaderLeaseToken, "The capability token of the lease."),
			headParam(api.HeaderProof, "The holder's proof, where the token names one."))
	}
}

func describeRelay(op *huma.Operation) {
	op.Parameters = pathParams(op.Path)
	op.Responses["200"] = &huma.Response{Description: "The bytes.", Content: map[string]*huma.MediaType{octets: {Schema: binarySchema()}}}
}

func headParam(name, doc string) *huma.Param {
	return &huma.Param{Name: name, In: "header", Description: doc, Schema: &huma.Schema{Type: huma.TypeString}}
}
