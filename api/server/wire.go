package server

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"io"
	"net"
	"sync"
	"sync/atomic"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/api/quick"
	"github.com/grafos/grafos/capbroker/pki"
)

const (
	// bufferSize is what a buffer for an answer begins with: a grant fits into it.
	bufferSize = 2 << 10
	// bufferKept is the largest one that is kept for the next answer.
	bufferKept = 256 << 10
)

// buffers are what answers are encoded into; one that was written is used again.
type buffers struct{ pool sync.Pool }

func (b *buffers) take() *[]byte {
	if p, ok := b.pool.Get().(*[]byte); ok {
		return p
	}
	p := make([]byte, 0, bufferSize)
	return &p
}

func (b *buffers) give(p *[]byte) {
	if cap(*p) <= bufferKept {
		*p = (*p)[:0]
		b.pool.Put(p)
	}
}

// encode writes v as a line of JSON, at once. That the reader left is no error: huma would
// panic.
func (b *buffers) encode(w io.Writer, v any) error {
	p := b.take()
	defer b.give(p)
	var err error
	if *p, err = appendJSON(*p, v); err != nil {
		return err
	}
	*p = append(*p, '\n')
	_, _ = w.Write(*p)
	return nil
}

func appendJSON(b []byte, v any) ([]byte, error) {
	if b, ok := quick.Append(b, v); ok {
		return b, nil
	}
	doc, err := json.Marshal(v)
	return append(b, doc...), err
}

// connection remembers who a connection's certificate names: reading it costs more than
// what is done with it.
type connection struct{ proved atomic.Pointer[proved] }

type proved struct {
	cert   *x509.Certificate
	caller api.Caller
}

type connectionKey struct{}

// onConnection is http.Server's ConnContext.
func onConnection(ctx context.Context, _ net.Conn) context.Context {
	return context.WithValue(ctx, connectionKey{}, &connection{})
}

// certCaller is pki.CertCaller, once for each connection.
func certCaller(ctx context.Context, cert *x509.Certificate) (api.Caller, error) {
	conn, ok := ctx.Value(connectionKey{}).(*connection)
	if !ok {
		return pki.CertCaller(cert)
	}
	if p := conn.proved.Load(); p != nil && p.cert == cert {
		return p.caller, nil
	}
	caller, err := pki.CertCaller(cert)
	if err == nil {
		conn.proved.Store(&proved{cert, caller})
	}
	return caller, err
}
