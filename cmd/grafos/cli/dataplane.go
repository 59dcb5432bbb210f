package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/cmd/grafos/internal/ui"
)

// Bounds of one exchange with a cell. Longer transfers are several of them, so that a
// token that ends half way is replaced and nothing is held whole in memory.
const (
	maxTransfer     = 1 << 20 // what a cell takes at once
	maxCellProblem  = 1 << 20
	maxLeaseTokenIn = 16 << 10
)

// binding is what is behind a lease, as its holder reaches it.
type binding struct {
	session *session
	http    *http.Client
	lease   api.Lease
	token   string
	own     bool // the token is the caller's own file: it is never replaced
}

// bind finds the coordinate of a lease and a token for it: the caller's, or a fresh one.
func (a *app) bind(ctx context.Context, s *session, given, tokenFile string) (*binding, error) {
	b := &binding{session: s}
	err := s.leaseID(ctx, given, func(id api.LeaseID) error {
		if tokenFile == "" {
			b.lease.ID = id
			return b.refresh(ctx)
		}
		return b.withToken(ctx, id, tokenFile)
	})
	if err != nil {
		return nil, err
	}
	if k := b.lease.Kind; k != api.KindBlock && (k != api.KindMem || b.lease.Use != api.UseRegion) {
		return nil, api.Refuse(api.InvalidArgument, "lease %s is for %s and has nothing to read or write", b.lease.ID, b.lease.Kind).
			WithHint("mem leases of lease request, and block leases, have")
	}
	b.http, err = a.o.DataPlane(s.conn)
	return b, err
}

func (b *binding) withToken(ctx context.Context, id api.LeaseID, file string) error {
	text, err := ui.ReadBounded(file, maxLeaseTokenIn)
	if err != nil {
		return err
	}
	answer, err := b.session.ShowLease(ctx, id, b.session.Read())
	if err != nil {
		return err
	}
	b.lease, b.token, b.own = answer.Lease.Lease, string(bytes.TrimSpace(text)), true
	return nil
}

func (b *binding) refresh(ctx context.Context) error {
	answer, err := b.session.LeaseToken(ctx, b.lease.ID, api.WriteOptions{})
	if err != nil {
		return err
	}
	b.lease, b.token = answer.Lease.Lease, answer.Lease.Token
	return nil
}

// close gives the connection back.
func (b *binding) close() { b.http.CloseIdleConnections() }

// span refuses a range that is not within the lease and returns its length; 0 is to the end.
func (b *binding) span(offset, length int64) (int64, error) {
	if offset > b.lease.Amount || length > b.lease.Amount-offset {
		return 0, api.Refuse(api.InvalidArgument, "offset %d and length %d reach past the end of lease %s: it has %d bytes",
			offset, length, b.lease.ID, b.lease.Amount)
	}
	if length == 0 {
		length = b.lease.Amount - offset
	}
	return length, nil
}

// read copies length bytes from offset to w.
func (b *binding) read(ctx context.Context, w io.Writer, offset, length int64) error {
	for length > 0 {
		chunk := min(length, maxTransfer)
		body, err := b.exchange(ctx, http.MethodGet, offset, chunk, nil)
		if err != nil {
			return err
		}
		n, err := io.Copy(w, io.LimitReader(body, chunk))
		if closeErr := body.Close(); err == nil {
			err = closeErr
		}
		if err != nil {
			return fmt.Errorf("read lease %s at %d: %w", b.lease.ID, offset+n, err)
		}
		if n < chunk {
			return api.Refuse(api.Internal, "cell %s sent %d bytes at offset %d of lease %s, not %d", b.lease.CellID, n, offset, b.lease.ID, chunk)
		}
		offset, length = offset+n, length-n
	}
	return nil
}

// write copies r to the lease from offset on and returns how many bytes the cell took.
func (b *binding) write(ctx context.Context, r io.Reader, offset int64) (int64, error) {
	var total int64
	buf := make([]byte, maxTransfer)
	for {
		n, readErr := io.ReadFull(r, buf)
		if n > 0 {
			if _, err := b.span(offset+total, int64(n)); err != nil {
				return total, err
			}
			body, err := b.exchange(ctx, http.MethodPut, offset+total, int64(n), buf[:n])
			if err != nil {
				return total, err
			}
			// The answer has nothing that is needed; the status said it.
			_ = body.Close()
			total += int64(n)
		}
		switch readErr {
		case nil:
		case io.EOF, io.ErrUnexpectedEOF:
			return total, nil
		default:
			return total, fmt.Errorf("read standard input: %w", readErr)
		}
	}
}

// exchange is one request to the cell. A token that ran out is replaced once; a cell that
// is busy is asked again a few times, at the pace that it names.
func (b *binding) exchange(ctx context.Context, method string, offset, length int64, data []byte) (io.ReadCloser, error) {
	replaced := b.own
	for busy := 0; ; {
		body, err := b.once(ctx, method, offset, length, data)
		kind := api.KindOf(err)
		switch {
		case kind == api.Overloaded && busy < maxBusy:
			busy++
			wait := max(api.Problem(err).RetryAfterMs, minBusyMs) * int64(busy)
			if !ui.Sleep(ctx, time.Duration(wait)*time.Millisecond) {
				return nil, err
			}
		case replaceable(kind) && !replaced:
			replaced = true
			if err := b.refresh(ctx); err != nil {
				return nil, err
			}
		default:
			return body, err
		}
	}
}

// How often a busy cell is asked again, and the least pause before it.
const (
	maxBusy   = 8
	minBusyMs = 20
)

// replaceable reports whether a fresh token may help: the one at hand ran out, or a
// renewal voided it.
func replaceable(k api.Kind) bool { return k == api.TokenExpired || k == api.StaleGeneration }

func (b *binding) once(ctx context.Context, method string, offset, length int64, data []byte) (io.ReadCloser, error) {
	target, err := url.Parse(b.lease.Coordinate)
	if err != nil || target.Scheme != "https" {
		return nil, api.Refuse(api.Internal, "lease %s has the coordinate %q, which is not an https URL", b.lease.ID, b.lease.Coordinate)
	}
	query := target.Query()
	query.Set("offset", strconv.FormatInt(offset, 10))
	query.Set("length", strconv.FormatInt(length, 10))
	target.RawQuery = query.Encode()
	req, err := http.NewRequestWithContext(ctx, method, target.String(), bytes.NewReader(data))
	if err != nil {
		return nil, fmt.Errorf("ask cell %s: %w", b.lease.CellID, err)
	}
	req.Header.Set("Authorization", "Bearer "+b.token)
	if data != nil {
		req.Header.Set("Content-Type", "application/octet-stream")
	}
	resp, err := b.http.Do(req)
	if err != nil {
		return nil, b.unreachable(err)
	}
	if resp.StatusCode/100 != 2 {
		return nil, b.refused(resp)
	}
	return resp.Body, nil
}

func (b *binding) unreachable(err error) error {
	if _, ok := api.AsError(err); ok {
		return err
	}
	return api.Refuse(api.OutcomeUnknown, "cell %s did not answer: %v", b.lease.CellID, err).
		WithHint("grafos provider status %s", b.lease.Provider)
}

// refused reads the problem of an answer and closes it.
func (b *binding) refused(resp *http.Response) error {
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxCellProblem))
	if closeErr := resp.Body.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return b.unreachable(err)
	}
	var problem api.Error
	if err := json.Unmarshal(text, &problem); err != nil || problem.Kind == "" {
		return api.Refuse(api.Internal, "cell %s answered %s without a problem document: %q",
			b.lease.CellID, resp.Status, strings.TrimSpace(string(text[:min(len(text), 200)])))
	}
	return &problem
}
