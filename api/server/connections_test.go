package server

import (
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/grafos/grafos/api"
)

// cellTransport makes connections that prove a cell.
func cellTransport(t *testing.T, cell api.CellID, h2 bool) *http.Transport {
	t.Helper()
	id := who(api.RoleCell)
	id.Cell = cell
	conf := clientTLS(t, "")
	pair := certificate(t, id)
	conf.GetClientCertificate = nil
	conf.Certificates = append(conf.Certificates, *pair)
	tr := &http.Transport{TLSClientConfig: conf, ForceAttemptHTTP2: h2}
	t.Cleanup(tr.CloseIdleConnections)
	return tr
}

func get200(t *testing.T, tr *http.Transport, url string) *http.Response {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := tr.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("%s answered %s", url, resp.Status)
	}
	return resp
}

// What a cell has open is closed at once when it is revoked, of either protocol, busy or idle; what
// another cell has goes on.
func TestConnectionsOfACellAreClosed(t *testing.T) {
	n := start(t, nil)
	n.fake.blob = "bytes"
	keep, ok := n.server.Handler.(*keeper)
	if !ok {
		t.Fatalf("the handler is a %T", n.server.Handler)
	}
	blob := n.url + "/api/v1/blobs/" + string(digest(n.fake.blob))
	for _, h2 := range []bool{true, false} {
		idle := cellTransport(t, "aws-1", h2)
		resp := get200(t, idle, blob)
		_, _ = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
	}
	other := cellTransport(t, "aws-2", true)
	resp := get200(t, other, blob)
	_, _ = io.Copy(io.Discard, resp.Body)
	_ = resp.Body.Close()
	if got := keep.open.Len(); got != 3 {
		t.Fatalf("%d connections are open", got)
	}
	if closed := keep.open.Close("aws-3"); closed != 0 {
		t.Errorf("a cell without connections had %d", closed)
	}
	began := time.Now()
	if closed := keep.open.Close("aws-1"); closed != 2 {
		t.Errorf("closed %d connections of the cell", closed)
	}
	eventually(t, func() bool { return keep.open.Len() == 1 })
	if took := time.Since(began); took > time.Second {
		t.Errorf("it took %s", took)
	}
	resp = get200(t, other, blob)
	_ = resp.Body.Close()
	keep.open.mu.Lock()
	defer keep.open.mu.Unlock()
	if len(keep.open.cells) != 1 || len(keep.open.of) != 1 {
		t.Errorf("%d connections of %d cells are noted", len(keep.open.cells), len(keep.open.of))
	}
}

// A revoked cell is told so, and its connection ends with the answer; a cell under another key than its
// own may do nothing but register.
func TestRevokedAndUnboundCells(t *testing.T) {
	n := start(t, nil)
	n.fake.blob = "bytes"
	for cell, want := range map[api.CellID]api.Kind{"barred": api.IdentityRevoked, "unbound": api.IdentityMismatch} {
		tr := cellTransport(t, cell, true)
		for _, path := range []string{"/cells/" + string(cell) + "/watch?cell_epoch=1", "/blobs/" + string(digest(n.fake.blob))} {
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, n.url+"/api/v1"+path, nil)
			if err != nil {
				t.Fatal(err)
			}
			resp, err := tr.RoundTrip(req)
			if err != nil {
				t.Fatal(err)
			}
			_, _ = io.Copy(io.Discard, resp.Body)
			_ = resp.Body.Close()
			if got := resp.Header.Get("Content-Type"); resp.StatusCode != want.Status() || got != problemType {
				t.Errorf("%s: %s answered %s, %s", cell, path, resp.Status, got)
			}
		}
	}
	keep, _ := n.server.Handler.(*keeper)
	eventually(t, func() bool { return keep.open.Len() == 1 }) // that of the unbound one is left
}
