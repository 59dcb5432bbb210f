package cli

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/capbroker/holder"
	"github.com/grafos/grafos/cmd/grafos/internal/ui"
)

// Bounds of one exchange with a cell. Longer transfers are several of them, so that a token that
// ends half way is replaced.
const (
	maxTransfer     = 8 << 20   // what goes at once
	maxProven       = 256 << 10 // what a cell writes under one proof
	maxCellProblem  = 1 << 20
	maxLeaseTokenIn = 16 << 10
)

// binding is what is behind a lease, as its holder reaches it.
type binding struct {
	session *session
	http    *http.Client
	relay   bool // every exchange goes through a scheduler
	fixed   bool // the caller said which way
	lease   api.Lease
	token   string
	own     bool // the token is the caller's own file: it is never replaced
	// key proves the holder, where the cell asks for it; nonce is what it does that with.
	key   *holder.Key
	nonce string
	// scratch is what is written in one exchange.
	scratch []byte
}

// bindOptions say how a lease is reached.
type bindOptions struct {
	token  fileName // file
	holder fileName // file of the holder's key, or "self"
	via    string
}

func (o *bindOptions) add(cmd *cobra.Command) {
	fs := cmd.Flags()
	fs.Var(&o.token, "lease-token", "`file` with a capability token (default: a fresh one)")
	fs.Var(&o.holder, "holder-key", "`file` with the key that the token is for, self: that of the caller's certificate")
	fs.StringVar(&o.via, "via", "", "direct or relay: through a scheduler (default: relay where the cell cannot be reached)")
}

func (o *bindOptions) check() error {
	switch o.via {
	case "", viaDirect, viaRelay:
		return nil
	}
	return api.Refuse(api.InvalidArgument, "--via %.40q is neither direct nor relay", o.via)
}

// The ways to a cell.
const (
	viaDirect = "direct"
	viaRelay  = "relay"
)

// bind finds the coordinate of a lease and a token for it: the caller's, or a fresh one.
func (a *app) bind(ctx context.Context, s *session, given string, o bindOptions) (*binding, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	b := &binding{session: s, fixed: o.via != "", relay: o.via == viaRelay}
	err := s.leaseID(ctx, given, func(id api.LeaseID) error {
		if o.token == "" {
			b.lease.ID = id
			return b.refresh(ctx)
		}
		return b.withToken(ctx, id, string(o.token))
	})
	if err != nil {
		return nil, err
	}
	if k := b.lease.Kind; k != api.KindBlock && (k != api.KindMem || b.lease.Use != api.UseRegion) {
		return nil, api.Refuse(api.InvalidArgument, "lease %s is for %s and has nothing to read or write", b.lease.ID, b.lease.Kind).
			WithHint("mem leases of lease request, and block leases, have")
	}
	if b.key, err = s.holderKey(string(o.holder), b.lease.Holder); err != nil {
		return nil, err
	}
	if b.http, err = a.o.DataPlane(s.conn, b.lease.Provider, b.lease.CellID); err != nil {
		return nil, err
	}
	if !b.fixed && s.conn.CertFile == "" && s.conn.TokenFile != "" {
		b.relay = true // who has a bearer token alone proves nothing to a cell
	}
	return b, nil
}

func (b *binding) withToken(ctx context.Context, id api.LeaseID, file string) error {
	text, err := ui.ReadBounded(file, maxLeaseTokenIn)
	if err != nil {
		return err
	}
	token := string(bytes.TrimSpace(text))
	if token == "" || strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return api.Refuse(api.InvalidArgument, "%s holds no capability token: it is one line", file).WithHint("grafos lease token %s", id)
	}
	answer, err := b.session.ShowLease(ctx, id, b.session.Read())
	if err != nil {
		return err
	}
	b.lease, b.token, b.own = answer.Lease.Lease, token, true
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
		body, err := b.exchange(ctx, transfer{offset: offset, length: chunk})
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

// write copies length bytes of r to the lease from offset on and returns how many the cell took. With
// sync all of them are on the cell's disk when it returns: the last piece waits for those before it.
func (b *binding) write(ctx context.Context, r io.Reader, offset, length int64, sync bool) (int64, error) {
	most := int64(maxTransfer)
	if b.key != nil {
		most = maxProven
	}
	b.scratch = make([]byte, min(most, length))
	for total := int64(0); ; {
		piece := b.scratch[:min(most, length-total)]
		if _, err := io.ReadFull(r, piece); err != nil {
			return total, fmt.Errorf("read standard input: %w", err)
		}
		body, err := b.exchange(ctx, transfer{
			write: true, offset: offset + total, length: int64(len(piece)), data: piece, sync: sync && total+int64(len(piece)) >= length,
		})
		if err != nil {
			return total, err
		}
		if body != nil {
			_ = body.Close() // the status said it
		}
		if total += int64(len(piece)); total >= length {
			return total, nil
		}
	}
}

// transfer is one exchange with a cell.
type transfer struct {
	write          bool
	offset, length int64
	data           []byte
	sync           bool
}

// request is the transfer as its proof is about it.
func (t transfer) request(b *binding) holder.Request {
	r := holder.Request{Op: "read", Lease: b.lease.ID, Cell: b.lease.CellID, Token: b.token, Offset: t.offset, Length: t.length}
	if t.write {
		r.Op, r.Body = "write", sha256.Sum256(t.data)
	}
	return r
}

// exchange is one request to the cell. A token that ran out is replaced once; a proof is made
// where the cell asks for one; a cell that is busy is asked again a few times, at the pace that
// it names; and one that cannot be reached is reached through a scheduler.
func (b *binding) exchange(ctx context.Context, t transfer) (io.ReadCloser, error) {
	replaced, proved := b.own, false
	for busy := 0; ; {
		body, err := b.once(ctx, t)
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
		case kind == api.Unauthenticated && b.key != nil && !proved && api.Problem(err).Nonce != "":
			proved = true
			b.nonce = api.Problem(err).Nonce
		case b.mayRelay(err):
			b.relay = true
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

// replaceable reports whether a fresh token may help: the one at hand ran out, or a renewal or
// a new registration of the cell voided it.
func replaceable(k api.Kind) bool {
	return k == api.TokenExpired || k == api.StaleGeneration || k == api.StaleEpoch
}
