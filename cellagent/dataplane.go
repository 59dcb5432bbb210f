package cellagent

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/grafos/grafos/api"
	wall "github.com/grafos/grafos/api/clock"
	"github.com/grafos/grafos/capbroker/holder"
)

const (
	// requestTime bounds a request and its answer where they are no pieces.
	requestTime = 30 * time.Second
	// tokenMost bounds what is looked at of an Authorization header.
	tokenMost = holder.MaxChain + 16
	// dataPath is followed by a lease's id.
	dataPath = "/v1/leases/"
)

// dataPlane serves the bytes of mem regions and blocks to whoever shows the capability token
// of the lease, and is its holder where the token names one. The cell's own record of the lease
// decides, on every operation, and on every piece of a long one.
type dataPlane struct {
	broker  Broker
	clock   Clock
	find    func(api.LeaseID) (api.Lease, Opened, int64, error)
	room    chan struct{}
	guests  *guests
	buffers sync.Pool
	log     hclog.Logger
}

func newDataPlane(k *keeper) *dataPlane {
	return &dataPlane{
		broker: k.broker, clock: k.clock, find: k.find, room: make(chan struct{}, dataInFlight), guests: newGuests(),
		buffers: sync.Pool{New: func() any { return new([pieceMost]byte) }}, log: k.log.Named("data"),
	}
}

// handler returns the routes: every path is here.
func (p *dataPlane) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+dataPath+"{id}", p.serve(opRead, p.readHTTP))
	mux.HandleFunc("PUT "+dataPath+"{id}", p.serve(opWrite, p.writeHTTP))
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		p.refuse(w, api.Refuse(api.NotFound, "%s %s does not exist here", r.Method, r.URL.Path))
	})
	return mux
}

// serve bounds the operations under way and writes refusals.
func (p *dataPlane) serve(op string, do func(http.ResponseWriter, *http.Request, *operation) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		err := p.one(w, r, op, do)
		if _, begun := errors.AsType[*cutError](err); begun {
			panic(http.ErrAbortHandler) // the client sees that the answer is not whole
		}
		if err != nil {
			if op == opWrite && r.ProtoMajor == 1 {
				w.Header().Set("Connection", "close") // else the rest of the body is waited for first
			}
			p.refuse(w, err)
		}
	}
}

func (p *dataPlane) one(w http.ResponseWriter, r *http.Request, op string, do func(http.ResponseWriter, *http.Request, *operation) error) error {
	from, err := peerOf(r)
	if err != nil {
		return err
	}
	if err := p.guests.enter(from.name); err != nil {
		return err
	}
	defer p.guests.leave(from.name)
	o, err := operationOf(r, op)
	if err != nil {
		return err
	}
	o.peer = from
	if o.proof != "" {
		w.Header().Set(holder.NonceHeader, p.broker.Challenge()) // of the next one
	}
	return do(w, r, o)
}

// operationOf reads what a request asks for.
func operationOf(r *http.Request, op string) (*operation, error) {
	o := &operation{op: op, lease: api.LeaseID(r.PathValue("id")), proof: r.Header.Get(holder.ProofHeader)}
	header := r.Header.Get("Authorization")
	token, ok := strings.CutPrefix(header, "Bearer ")
	token = strings.TrimSpace(token)
	if len(header) > tokenMost {
		return nil, api.Refuse(api.TooLarge, "the capability token is %d bytes long: at most %d with all its links", len(header), holder.MaxChain)
	}
	if !ok || token == "" {
		return nil, api.Refuse(api.Unauthenticated, "no capability token: send it as Authorization: Bearer TOKEN").
			WithHint("grafos lease token %s", r.PathValue("id"))
	}
	o.token = token
	q, err := queryOf(r)
	if err != nil {
		return nil, err
	}
	if o.sync, err = api.WantsSync(q); err != nil {
		return nil, err
	}
	if o.offset, err = queryInt(q, "offset", 0); err != nil {
		return nil, err
	}
	o.length, err = queryInt(q, "length", toEnd)
	return o, err
}

// readHTTP answers length bytes from offset: up to the end where no length is given.
func (p *dataPlane) readHTTP(w http.ResponseWriter, r *http.Request, o *operation) error {
	return p.read(r.Context(), o, &answer{w, http.NewResponseController(w)})
}

// socketEnd is when a socket gives up: the kernel's sockets know the machine's clock only.
func socketEnd(within time.Duration) time.Time { return wall.System().Now().Add(within) }

// answer is an outlet to an HTTP client.
type answer struct {
	http.ResponseWriter
	times *http.ResponseController
}

func (a *answer) begin(length int64) {
	h := a.Header()
	h.Set("Content-Type", "application/octet-stream")
	h.Set("Content-Length", strconv.FormatInt(length, 10))
	h.Set("Cache-Control", "no-store")
	_ = a.times.SetReadDeadline(time.Time{}) // nothing more is read
}

func (a *answer) piece(b []byte, within time.Duration) error {
	if within <= 0 {
		return errLate
	}
	_ = a.times.SetWriteDeadline(socketEnd(within)) // a recorder has none
	_, err := a.Write(b)
	return err //nolint:wrapcheck // a reader that went away
}

// errLate says that a lease ends before anything can be sent.
var errLate = errors.New("the lease ends")

// writeHTTP takes the body to offset; with sync=1 it is on the disk, where the lease has one, when
// it is answered. A body whose length is not told in advance has to fit one piece.
func (p *dataPlane) writeHTTP(w http.ResponseWriter, r *http.Request, o *operation) error {
	from := &question{r.Body, http.NewResponseController(w)}
	if r.ContentLength < 0 {
		return p.writeUntold(w, r, o, from)
	}
	if o.length != toEnd && o.length != r.ContentLength {
		return api.Refuse(api.InvalidArgument, "the length is said to be %d, the body has %d bytes", o.length, r.ContentLength)
	}
	o.length = r.ContentLength
	if err := p.write(r.Context(), o, from); err != nil {
		return err
	}
	from.written(w)
	return nil
}

// writeUntold takes a body whose end has to come before it is known how long it is.
func (p *dataPlane) writeUntold(w http.ResponseWriter, r *http.Request, o *operation, from *question) error {
	said := o.length
	o.length = 0
	if _, err := p.admit(o, nil); err != nil {
		return err
	}
	from.wait(pieceTime)
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, pieceMost))
	if err != nil {
		if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
			return api.Refuse(api.TooLarge, "the body has more than %d bytes and does not say how many", pieceMost).
				WithHint("send its Content-Length")
		}
		return untold(len(body), err)
	}
	if o.length = int64(len(body)); said != toEnd && said != o.length {
		return api.Refuse(api.InvalidArgument, "the length is said to be %d, the body has %d bytes", said, o.length)
	}
	if err := p.write(r.Context(), o, held(body)); err != nil {
		return err
	}
	from.written(w)
	return nil
}

// held is an inlet of bytes that are there.
type held []byte

func (h held) piece(b []byte, _ time.Duration) error {
	copy(b, h)
	return nil
}

// question is an inlet from an HTTP client.
type question struct {
	io.Reader
	times *http.ResponseController
}

func (q *question) piece(b []byte, within time.Duration) error {
	if within <= 0 {
		return errLate
	}
	q.wait(within)
	n, err := io.ReadFull(q, b)
	return unread(n, within, err)
}

// wait gives the client a time for what it sends, and the answer one after that: the server's own
// bound is on the whole request, which may be as long as the lease.
func (q *question) wait(within time.Duration) {
	_ = q.times.SetReadDeadline(socketEnd(within)) // a recorder has none
	_ = q.times.SetWriteDeadline(socketEnd(within + requestTime))
}

// written answers that all of it was taken.
func (q *question) written(w http.ResponseWriter) {
	_ = q.times.SetWriteDeadline(socketEnd(pieceTime))
	w.WriteHeader(http.StatusNoContent)
}

// refuse writes a problem document.
func (p *dataPlane) refuse(w http.ResponseWriter, err error) {
	problem := api.Problem(err)
	if problem.Kind == api.Unauthenticated {
		problem.Nonce = p.broker.Challenge()
		w.Header().Set(holder.NonceHeader, problem.Nonce)
	}
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
	_ = http.NewResponseController(w).SetWriteDeadline(socketEnd(pieceTime))
	w.WriteHeader(problem.Status)
	_, _ = w.Write(body) // a reader that went away
}

// newDataServer returns the server of the data plane; its listener brings TLS.
func newDataServer(h http.Handler, log hclog.Logger) *http.Server {
	return &http.Server{
		Handler:           h,
		ConnContext:       withConnection,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       requestTime,
		WriteTimeout:      requestTime,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          log.Named("data").StandardLogger(&hclog.StandardLoggerOptions{ForceLevel: hclog.Debug}),
	}
}
