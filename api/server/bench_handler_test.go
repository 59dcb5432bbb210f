package server

import (
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/grafos/grafos/api"
)

// handlerAndRequest returns the handler and what makes one request of a tenant for leases.
func handlerAndRequest(b *testing.B) (func(*http.Request), func() *http.Request) {
	b.Helper()
	f := &fake{leases: api.GrantSet{Index: 1, CellID: "aws-1", Leases: []api.Grant{{Lease: filled[api.Lease](), Token: "token"}}}}
	h, err := New(Config{
		Services: f, Agent: f, Peers: f, Leader: &fakeLeader{self: true}, Auth: fakeAuth{}, Info: f.info, Log: quiet(),
	})
	if err != nil {
		b.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(certificate(b, who(api.RoleTenant)).Certificate[0])
	if err != nil {
		b.Fatal(err)
	}
	state := &tls.ConnectionState{PeerCertificates: []*x509.Certificate{leaf}}
	const body = `{"provider":"aws","resources":{"cpu":0,"mem":1024,"block":0,"net":0,"gpu":0},"ttl_ms":60000}`
	serve := func(r *http.Request) {
		w := httptest.NewRecorder()
		if h.ServeHTTP(w, r); w.Code != http.StatusOK {
			b.Fatal(w.Code, w.Body.String())
		}
	}
	return serve, func() *http.Request {
		r := httptest.NewRequestWithContext(b.Context(), http.MethodPost, "/api/v1/leases", strings.NewReader(body))
		r.Header.Set("Content-Type", "application/json")
		r.TLS = state
		return r
	}
}
