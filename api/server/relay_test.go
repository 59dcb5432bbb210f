package server

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/grafos/grafos/api"
)

// TestDataRequest: what may be left out of a transfer through a scheduler is what the rest says, and
// what contradicts itself is refused.
func TestDataRequest(t *testing.T) {
	for _, c := range []struct {
		method, query, body string
		offset, length      int64
		kind                api.Kind
	}{
		{"GET", "?offset=3&length=5", "", 3, 5, ""},
		{"GET", "?length=0", "", 0, 0, ""},
		{"GET", "", "", 0, 0, api.InvalidArgument},
		{"GET", "?length=", "", 0, 0, api.InvalidArgument},
		{"GET", "?offset=-1&length=5", "", 0, 0, api.InvalidArgument},
		{"GET", "?length=8388609", "", 0, 0, api.TooLarge},
		{"PUT", "", "bytes", 0, 5, ""},
		{"PUT", "?offset=9", "", 9, 0, ""},
		{"PUT", "?length=5", "bytes", 0, 5, ""},
		{"PUT", "?length=4", "bytes", 0, 0, api.InvalidArgument},
		{"PUT", "?offset=1e3", "bytes", 0, 0, api.InvalidArgument},
		{"PUT", "?sync=1", "bytes", 0, 5, ""},
		{"PUT", "?sync=yes", "bytes", 0, 0, api.InvalidArgument},
	} {
		r := httptest.NewRequestWithContext(t.Context(), c.method, "/api/v1/leases/l-1/data"+c.query, strings.NewReader(c.body))
		r.Header.Set(api.HeaderLeaseToken, "t")
		req, err := dataRequest(&exchange{}, r)
		if api.KindOf(err) != c.kind || c.kind == "" && (req.Offset != c.offset || req.Length != c.length || req.Sync != (c.query == "?sync=1")) {
			t.Errorf("%s %s %q: offset %d, length %d, %v", c.method, c.query, c.body, req.Offset, req.Length, err)
		}
	}
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPut, "/api/v1/leases/l-1/data", strings.NewReader("bytes"))
	r.Header.Set(api.HeaderLeaseToken, "t")
	r.ContentLength = -1
	if _, err := dataRequest(&exchange{}, r); api.KindOf(err) != api.InvalidArgument {
		t.Errorf("a write that does not say its length: %v", err)
	}
}

// givingUp takes a write over, as one that goes to a cell is, and gives up on it while it is read.
type givingUp struct{ *fake }

func (g givingUp) LeaseData(_ context.Context, r api.DataRequest) (*api.DataAnswer, error) {
	began := make(chan struct{})
	go func() {
		b := make([]byte, 1)
		_, _ = r.Body.Read(b) // the first byte
		close(began)
		_, _ = io.Copy(io.Discard, r.Body) // the rest, which does not come
	}()
	<-began
	return nil, api.Refuse(api.OutcomeUnknown, "the cell did not answer")
}

// TestStalledWriteLetsGo: a write that was given up while it stalls is answered at once, also over
// HTTP/1.1, where the answer waits for whoever reads the body.
func TestStalledWriteLetsGo(t *testing.T) {
	s := &server{config: Config{Services: givingUp{&fake{}}}}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		x := newExchange(s, w, r)
		r.SetPathValue("id", "l-1")
		if err := s.leaseData(x, r); err != nil {
			w.WriteHeader(api.Problem(err).Status)
		}
	}))
	defer srv.Close()
	conn, err := net.Dial("tcp", srv.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }() // which ends the reader in any case
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	head := "PUT / HTTP/1.1\r\nHost: s\r\n" + api.HeaderLeaseToken + ": t\r\nContent-Length: 1048576\r\n\r\nxy"
	if _, err := io.WriteString(conn, head); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil || !strings.Contains(line, " 503 ") {
		t.Errorf("answered %q, %v", line, err)
	}
}
