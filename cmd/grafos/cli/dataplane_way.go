package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/capbroker/holder"
	"github.com/grafos/grafos/cmd/grafos/internal/ui"
)

// unreachedError is a cell that no connection was made to.
type unreachedError struct{ cause error }

func (e *unreachedError) Error() string { return e.cause.Error() }

func (e *unreachedError) Unwrap() error { return e.cause }

// mayRelay reports whether a scheduler may reach a cell that this program did not.
func (b *binding) mayRelay(err error) bool {
	_, ok := errors.AsType[*unreachedError](err)
	return ok && !b.relay && !b.fixed
}

// once is one try, with a proof where there is a nonce for one.
func (b *binding) once(ctx context.Context, t transfer) (io.ReadCloser, error) {
	proof := ""
	if b.nonce != "" && b.key != nil {
		var err error
		if proof, err = b.key.Prove(t.request(b), b.nonce); err != nil {
			return nil, err
		}
		b.nonce = ""
	}
	if b.relay {
		return b.carried(ctx, t, proof)
	}
	return b.direct(ctx, t, proof)
}

// carried goes through a scheduler.
func (b *binding) carried(ctx context.Context, t transfer, proof string) (io.ReadCloser, error) {
	r := api.DataRequest{Lease: b.lease.ID, Write: t.write, Token: b.token, Proof: proof, Offset: t.offset, Length: t.length, Sync: t.sync}
	if t.write {
		r.Body = bytes.NewReader(t.data)
	}
	answer, err := b.session.LeaseData(ctx, r)
	if err != nil {
		return nil, err
	}
	if proof != "" {
		b.nonce = answer.Nonce
	}
	return answer.Body, nil
}

// direct goes to the cell itself.
func (b *binding) direct(ctx context.Context, t transfer, proof string) (io.ReadCloser, error) {
	req, err := b.ask(ctx, t)
	if err != nil {
		return nil, err
	}
	if proof != "" {
		req.Header.Set(holder.ProofHeader, proof)
	}
	resp, err := b.http.Do(req)
	if err != nil {
		return nil, b.unreachable(err)
	}
	if proof != "" {
		b.nonce = resp.Header.Get(holder.NonceHeader)
	}
	if resp.StatusCode/100 != 2 {
		return nil, b.refused(resp)
	}
	return resp.Body, nil
}

// ask makes the request of a transfer.
func (b *binding) ask(ctx context.Context, t transfer) (*http.Request, error) {
	target, err := url.Parse(b.lease.Coordinate)
	if err != nil || target.Scheme != "https" {
		return nil, api.Refuse(api.Internal, "lease %s has the coordinate %q, which is not an https URL", b.lease.ID, b.lease.Coordinate)
	}
	query := target.Query()
	query.Set("offset", strconv.FormatInt(t.offset, 10))
	query.Set("length", strconv.FormatInt(t.length, 10))
	if t.sync {
		query.Set("sync", "1")
	}
	target.RawQuery = query.Encode()
	method := http.MethodGet
	var body io.Reader
	if t.write {
		method, body = http.MethodPut, bytes.NewReader(t.data)
	}
	req, err := http.NewRequestWithContext(ctx, method, target.String(), body)
	if err != nil {
		return nil, fmt.Errorf("ask cell %s: %w", b.lease.CellID, err)
	}
	req.Header.Set("Authorization", "Bearer "+b.token)
	if t.write {
		req.Header.Set("Content-Type", "application/octet-stream")
	}
	return req, nil
}

func (b *binding) unreachable(err error) error {
	if _, ok := api.AsError(err); ok {
		return err
	}
	// Alerts have no type of their own where they come in; those of a client's certificate say so.
	if alert, ok := errors.AsType[*net.OpError](err); ok && alert.Op == "remote error" && strings.Contains(alert.Err.Error(), "certificate") {
		return api.Refuse(api.Forbidden, "cell %s does not take this certificate: %v", b.lease.CellID, alert.Err).
			WithHint("the bytes of a lease are for its tenant and for operators, straight and through a scheduler")
	}
	refusal := api.Refuse(api.OutcomeUnknown, "cell %s did not answer: %v", b.lease.CellID, err).
		WithHint("grafos provider status %s", b.lease.Provider)
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "dial" {
		return &unreachedError{refusal}
	}
	return refusal
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

// self stands for the key of the caller's own certificate.
const self = "self"

// maxKeyFile bounds a file with a key.
const maxKeyFile = 64 << 10

// holderKey opens the key that proves a holder: the one that is given, or, where a lease names
// the key of the caller's own certificate, that one. nil is none.
func (s *session) holderKey(given, named string) (*holder.Key, error) {
	file := given
	switch {
	case given == self || given == "" && named != "" && s.conn.KeyFile != "":
		file = s.conn.KeyFile
	case given == "":
		return nil, nil //nolint:nilnil // no holder, no key
	}
	if file == "" {
		return nil, api.Refuse(api.InvalidArgument, "--holder-key self is the key of the caller's certificate, and there is none").
			WithHint("give --cert and --key, or a file")
	}
	text, err := ui.ReadBounded(file, maxKeyFile)
	if err != nil {
		return nil, err
	}
	key, err := holder.ParseKey(text)
	if err != nil {
		return nil, ui.Usage(fmt.Errorf("%s: %w", file, err)) // of the file, also to a program
	}
	if given == "" && key.Thumbprint().String() != named {
		return nil, nil //nolint:nilnil // the lease is another holder's: its cell says so
	}
	return key, nil
}

// holderName names the key that a lease is to be for.
func (s *session) holderName(given string) (string, error) {
	file := given
	if given == "" {
		return "", nil
	}
	if given == self {
		if file = s.conn.CertFile; file == "" {
			return "", api.Refuse(api.InvalidArgument, "--holder-key self is the key of the caller's certificate, and there is none").
				WithHint("give --cert and --key, or a file")
		}
	}
	text, err := ui.ReadBounded(file, maxKeyFile)
	if err != nil {
		return "", err
	}
	name, err := holder.ParsePublic(text)
	if err != nil {
		return "", ui.Usage(fmt.Errorf("%s: %w", file, err))
	}
	return name.String(), nil
}

// spooled is standard input whose length is known: a regular file, or a copy of what came.
type spooled struct {
	io.Reader
	length int64
	copied *os.File // to be removed; nil is none
}

// spoolMemory is what of standard input is kept in memory; what is longer goes to a file.
const spoolMemory = 4 << 20

// spool finds out how long r is, up to one byte more than most, before anything of it is used.
func spool(r io.Reader, most int64) (*spooled, error) {
	if f, ok := r.(*os.File); ok {
		info, err := f.Stat()
		if err == nil && info.Mode().IsRegular() {
			at, err := f.Seek(0, io.SeekCurrent)
			if err == nil {
				return &spooled{Reader: f, length: max(info.Size()-at, 0)}, nil
			}
		}
	}
	head, err := io.ReadAll(io.LimitReader(r, min(spoolMemory, most+1)))
	if err != nil {
		return nil, fmt.Errorf("read standard input: %w", err)
	}
	if int64(len(head)) < spoolMemory || int64(len(head)) > most {
		return &spooled{Reader: bytes.NewReader(head), length: int64(len(head))}, nil
	}
	f, err := os.CreateTemp("", "grafos-write-*")
	if err != nil {
		return nil, fmt.Errorf("keep standard input: %w", err)
	}
	s := &spooled{copied: f}
	n, err := io.Copy(f, io.MultiReader(bytes.NewReader(head), io.LimitReader(r, most+1-int64(len(head)))))
	if err == nil {
		_, err = f.Seek(0, io.SeekStart)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("keep standard input: %w", err), s.close())
	}
	s.Reader, s.length = f, n
	return s, nil
}

// close removes the copy.
func (s *spooled) close() error {
	if s.copied == nil {
		return nil
	}
	return errors.Join(s.copied.Close(), os.Remove(s.copied.Name()))
}
