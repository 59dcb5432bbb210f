package conformance

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/capbroker/holder"
)

// operation is one read or write of a lease's bytes.
type operation struct {
	lease          api.Lease
	token, proof   string
	offset, length int64
	data           []byte // of a write; nil is a read
}

// request is the operation as its proof is about it.
func (o operation) request() holder.Request {
	r := holder.Request{Op: "read", Lease: o.lease.ID, Cell: o.lease.CellID, Token: o.token, Offset: o.offset, Length: o.length}
	if o.data != nil {
		r.Op, r.Body = "write", sha256.Sum256(o.data)
	}
	return r
}

// way is how a cell's data plane is reached. It returns what was read; a refusal of the cell is an
// *api.Error, with a nonce where it wants a proof.
type way interface {
	do(ctx context.Context, o operation) ([]byte, error)
}

// relayed goes through this scheduler, and the session of the cell.
type relayed struct{ fabric Fabric }

func (w relayed) do(ctx context.Context, o operation) ([]byte, error) {
	r := api.DataRequest{Lease: o.lease.ID, Write: o.data != nil, Token: o.token, Proof: o.proof, Offset: o.offset, Length: o.length}
	if o.data != nil {
		r.Body = bytes.NewReader(o.data)
	}
	a, err := w.fabric.LeaseData(ctx, r)
	if err != nil || a.Body == nil {
		return nil, err
	}
	defer context.AfterFunc(ctx, func() { _ = a.Body.Close() })() // a cell that stops in the middle is not waited for
	b, err := io.ReadAll(io.LimitReader(a.Body, maxRead))
	return b, errors.Join(err, a.Body.Close())
}

// direct goes to the cell itself.
type direct struct{ http *http.Client }

// maxRead bounds an answer.
const maxRead = 1 << 20

func (w direct) do(ctx context.Context, o operation) ([]byte, error) {
	target, err := url.Parse(o.lease.Coordinate)
	if err != nil || target.Scheme != "https" {
		return nil, api.Refuse(api.Internal, "lease %s has the coordinate %q, which is no https URL", o.lease.ID, o.lease.Coordinate)
	}
	q := target.Query()
	q.Set("offset", strconv.FormatInt(o.offset, 10))
	q.Set("length", strconv.FormatInt(o.length, 10))
	target.RawQuery = q.Encode()
	method, body := http.MethodGet, io.Reader(nil)
	if o.data != nil {
		method, body = http.MethodPut, bytes.NewReader(o.data)
	}
	req, err := http.NewRequestWithContext(ctx, method, target.String(), body)
	if err != nil {
		return nil, fmt.Errorf("ask the cell: %w", err)
	}
	req.Header.Set("Authorization", "Bearer "+o.token)
	if o.proof != "" {
		req.Header.Set(holder.ProofHeader, o.proof)
	}
	return w.exchange(req)
}

func (w direct) exchange(req *http.Request) ([]byte, error) {
	resp, err := w.http.Do(req)
	if err != nil {
		return nil, fmt.Errorf("ask the cell: %w", err)
	}
	defer func() { _ = resp.Body.Close() }() // it is read to its end
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxRead))
	if err != nil {
		return nil, fmt.Errorf("read the cell's answer: %w", err)
	}
	if resp.StatusCode/100 == 2 {
		return b, nil
	}
	var problem api.Error
	if err := json.Unmarshal(b, &problem); err != nil || problem.Kind == "" {
		return nil, api.Refuse(api.Internal, "the cell answered %s without a problem document", resp.Status)
	}
	return nil, &problem
}

// reachTime is how long a cell has to take a connection.
const reachTime = 2 * time.Second

// reach finds out whether this scheduler can connect to the cell. That it cannot is nothing against the
// cell, which need not have an inbound port: it is then reached as its tenants reach it.
func (s *suite) reach(ctx context.Context) {
	began := s.Clock.Now()
	c := api.ConformanceCheck{Name: checkReached, OK: true, Want: "the data plane of this cell"}
	defer func() {
		c.TookMs = s.since(began)
		s.tell(c)
	}()
	if s.Direct == nil || s.Cell.DataURL == "" {
		c.Skipped = "the cell names no address of its data plane: it is reached through schedulers"
		return
	}
	if at, err := url.Parse(s.Cell.DataURL); err != nil || at.Scheme != "https" || at.Host == "" {
		c.OK, c.Got = false, fmt.Sprintf("the data plane is at %.80q, which is no https URL", s.Cell.DataURL)
		return
	}
	ctx, cancel := context.WithTimeout(ctx, reachTime)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.Cell.DataURL, nil)
	if err == nil {
		_, err = direct{s.Direct}.exchange(req)
	}
	if _, answered := api.AsError(err); err == nil || answered {
		s.direct, c.Got = direct{s.Direct}, c.Want
		return
	}
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "dial" || errors.Is(err, context.DeadlineExceeded) {
		c.Skipped = fmt.Sprintf("no connection to %s from this scheduler: the cell is reached through schedulers", s.Cell.DataURL)
		return
	}
	c.OK, c.Got = false, err.Error()
}

// ways lists how the cell is reached, the one that most is done over first.
func (s *suite) ways() []namedWay {
	if s.direct == nil {
		return []namedWay{{s.relay, viaRelay}}
	}
	return []namedWay{{s.direct, ""}, {s.relay, viaRelay}}
}

// namedWay is a way, and what stands behind the names of the checks over it.
type namedWay struct {
	way
	name string
}

const viaRelay = "_relayed"
