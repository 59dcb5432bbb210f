package server

import (
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/grafos/grafos/api"
)

// TestKeepsSomeConnections: where there are too many connections, those of HTTP/1.1 end with
// their answer.
func TestKeepsSomeConnections(t *testing.T) {
	k := &keeper{most: 2, open: NewConnections(), next: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "x") })}
	s := httptest.NewUnstartedServer(k)
	s.Config.ConnState = k.open.note
	s.Start()
	t.Cleanup(s.Close)
	ask := func() bool {
		tr := &http.Transport{}
		t.Cleanup(tr.CloseIdleConnections)
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := tr.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = resp.Body.Close() }()
		if _, err := io.Copy(io.Discard, resp.Body); err != nil {
			t.Error(err)
		}
		return !resp.Close
	}
	for range k.most {
		if !ask() {
			t.Error("one of two is not kept")
		}
	}
	if ask() {
		t.Error("a third one is kept")
	}
	eventually(t, func() bool { return k.open.Len() == 2 })
}

// TestHTTPServerKeeps: the server of the API keeps them as long as it may.
func TestHTTPServerKeeps(t *testing.T) {
	n := start(t, nil)
	keep, ok := n.server.Handler.(*keeper)
	if !ok || keep.most != maxKept {
		t.Fatalf("the handler is a %T", n.server.Handler)
	}
	c := dial(t, api.RoleTenant, n)
	if _, err := c.ListProviders(t.Context(), api.ReadOptions{}); err != nil {
		t.Fatal(err)
	}
	if keep.open.Len() != 1 {
		t.Errorf("%d connections are counted", keep.open.Len())
	}
}
