package cellagent

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/grafos/grafos/api"
)

const (
	// dataMost bounds the bytes of one read or write.
	dataMost = 1 << 20
	// dataInFlight bounds the operations at one time, and so the memory of their buffers.
	dataInFlight = 256
	// dataTimeout bounds one operation; whoever needs more time for 1 MiB has lost it.
	dataTimeout = 30 * time.Second
	// tokenMost bounds what is looked at of an Authorization header.
	tokenMost = 4 << 10
	// dataPath is followed by a lease's id.
	dataPath = "/v1/leases/"
)

// The operations that a capability token may allow.
const (
	opRead  = "read"
	opWrite = "write"
)

// dataPlane serves the bytes of mem regions and blocks to whoever shows the capability token
// of the lease. The client's certificate, if any, says nothing here: the token is the proof,
// and the cell's own record of the lease decides, on every operation.
type dataPlane struct {
	broker Broker
	find   func(api.LeaseID) (api.Lease, Opened, int64, error)
	room   chan struct{}
	log    hclog.Logger
}

func newDataPlane(k *keeper) *dataPlane {
	return &dataPlane{broker: k.broker, find: k.find, room: make(chan struct{}, dataInFlight), log: k.log.Named("data")}
}

// handler returns the routes: every path is here.
func (p *dataPlane) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+dataPath+"{id}", p.serve(p.read))
	mux.HandleFunc("PUT "+dataPath+"{id}", p.serve(p.write))
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		p.refuse(w, api.Refuse(api.NotFound, "%s %s does not exist here", r.Method, r.URL.Path))
	})
	return mux
}

// serve bounds the operations under way and writes refusals.
func (p *dataPlane) serve(op func(http.ResponseWriter, *http.Request) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		select {
		case p.room <- struct{}{}:
			defer func() { <-p.room }()
		default:
			busy := api.Refuse(api.Overloaded, "the cell serves %d operations already", dataInFlight)
			busy.RetryAfterMs = 50
			p.refuse(w, busy)
			return
		}
		if err := op(w, r); err != nil {
			p.refuse(w, err)
		}
	}
}

// admit returns the lease's binding when the token allows op on it at this moment.
func (p *dataPlane) admit(r *http.Request, op string) (Opened, error) {
	header := r.Header.Get("Authorization")
	token, ok := strings.CutPrefix(header, "Bearer ")
	if !ok || len(header) > tokenMost {
		return nil, api.Refuse(api.Unauthenticated, "no capability token: send it as Authorization: Bearer TOKEN").
			WithHint("grafos lease token %s", r.PathValue("id"))
	}
	claims, err := p.broker.Verify(strings.TrimSpace(token))
	if err != nil {
		return nil, err
	}
	l, open, _, err := p.find(api.LeaseID(r.PathValue("id")))
	if err != nil {
		return nil, err
	}
	if err := claims.Check(l, op); err != nil {
		return nil, err
	}
	if open == nil {
		return nil, api.Refuse(api.LeaseRevoked, "lease %s has ended: %s", l.ID, l.Reason)
	}
	if l.Kind != api.KindBlock && (l.Kind != api.KindMem || l.Use != api.UseRegion) {
		return nil, api.Refuse(api.InvalidArgument, "lease %s is for %s %s: it holds no bytes to %s", l.ID, l.Kind, l.Use, op)
	}
	return open, nil
}

// read answers length bytes from offset: at most 1 MiB, up to the end where no length is given.
func (p *dataPlane) read(w http.ResponseWriter, r *http.Request) error {
	open, err := p.admit(r, opRead)
	if err != nil {
		return err
	}
	offset, err := queryInt(r, "offset", 0)
	if err != nil {
		return err
	}
	length, err := queryInt(r, "length", min(dataMost, max(open.Size()-offset, 0)))
	if err != nil {
		return err
	}
	if err := inside(offset, length, open.Size()); err != nil {
		return err
	}
	buf := make([]byte, length)
	if _, err := open.ReadAt(buf, offset); err != nil && !errors.Is(err, io.EOF) {
		return p.broken(r, err)
	}
	h := w.Header()
	h.Set("Content-Type", "application/octet-stream")
	h.Set("Content-Length", strconv.FormatInt(length, 10))
	h.Set("Cache-Control", "no-store")
	_, _ = w.Write(buf) // a reader that went away
	return nil
}

// write takes a body of at most 1 MiB to offset; with sync=1 it is on the disk, where the lease has
// one, when it is answered. The token and the lease are looked at when
// the whole body is there: a slow sender does not outlive its lease.
func (p *dataPlane) write(w http.ResponseWriter, r *http.Request) error {
	if _, err := p.admit(r, opWrite); err != nil {
		return err // before a byte is read for somebody who may not write
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, dataMost))
	if err != nil {
		if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
			return api.Refuse(api.TooLarge, "the body has more than %d bytes: write in parts", dataMost)
		}
		return api.Refuse(api.InvalidArgument, "the body cannot be read: %v", err)
	}
	open, err := p.admit(r, opWrite)
	if err != nil {
		return err
	}
	offset, err := queryInt(r, "offset", 0)
	if err != nil {
		return err
	}
	if err := inside(offset, int64(len(body)), open.Size()); err != nil {
		return err
	}
	if _, err := open.WriteAt(body, offset); err != nil {
		return p.broken(r, err)
	}
	if disk, ok := open.(interface{ Sync() error }); ok && r.URL.Query().Get("sync") == "1" {
		if err := disk.Sync(); err != nil {
			return p.broken(r, err)
		}
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// broken returns the refusal for an operation that failed on an open binding. A teardown that
// began meanwhile is told as what it is.
func (p *dataPlane) broken(r *http.Request, err error) error {
	id := api.LeaseID(r.PathValue("id"))
	l, open, _, findErr := p.find(id)
	switch {
	case findErr != nil:
		return findErr
	case open != nil:
		p.log.Error("operation failed on an open binding", "lease_id", id, "error", err)
		if _, ok := api.AsError(err); ok {
			return err
		}
		return api.Refuse(api.Internal, "lease %s cannot be used: %v", id, err)
	case l.State == api.LeaseExpired:
		return api.Refuse(api.LeaseExpiredKind, "lease %s has ended: %s", id, l.Reason)
	}
	return api.Refuse(api.LeaseRevoked, "lease %s has ended: %s", id, l.Reason)
}

// inside refuses what is not within size bytes, or more than fits one request.
func inside(offset, length, size int64) error {
	if length > dataMost {
		return api.Refuse(api.TooLarge, "%d bytes are asked for: at most %d a request", length, dataMost)
	}
	if offset < 0 || length < 0 || offset > size || length > size-offset {
		return api.Refuse(api.InvalidArgument, "offset %d and length %d are not within the %d bytes of the lease", offset, length, size)
	}
	return nil
}

func queryInt(r *http.Request, name string, or int64) (int64, error) {
	raw := r.URL.Query().Get(name)
	if raw == "" {
		return or, nil
	}
	n, err := strconv.ParseInt(raw, 10, 64)
	if err != nil || n < 0 {
		return 0, api.Refuse(api.InvalidArgument, "%s is not a whole number of bytes", name)
	}
	return n, nil
}

// refuse writes a problem document.
func (p *dataPlane) refuse(w http.ResponseWriter, err error) {
	problem := api.Problem(err)
	body, encErr := json.Marshal(problem)
	if encErr != nil {
		p.log.Error("encode problem", "error", encErr)
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "application/problem+json")
	h.Set("Cache-Control", "no-store")
	if problem.RetryAfterMs > 0 {
		h.Set("Retry-After", strconv.FormatInt((problem.RetryAfterMs+999)/1000, 10))
	}
	w.WriteHeader(problem.Status)
	_, _ = w.Write(body) // a reader that went away
}

// newDataServer returns the server of the data plane; its listener brings TLS.
func newDataServer(h http.Handler, log hclog.Logger) *http.Server {
	return &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       dataTimeout,
		WriteTimeout:      dataTimeout,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          log.Named("data").StandardLogger(&hclog.StandardLoggerOptions{ForceLevel: hclog.Debug}),
	}
}
