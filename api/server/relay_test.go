package server

import (
	"bufio"
	"context"
	"encoding/json"
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
	s := &server{config: Config{Services: givingUp{&fake{}}}, bodyTime: bodyTime}
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

// waiting takes a write over, as one that goes to a cell is, and has no answer when the time is up: its
// cell may have read the body, or nothing of it.
type waiting struct {
	*fake
	reads bool
}

func (g waiting) LeaseData(ctx context.Context, r api.DataRequest) (*api.DataAnswer, error) {
	if g.reads {
		go func() { _, _ = io.Copy(io.Discard, r.Body) }()
	}
	sleep(ctx, 400*time.Millisecond)
	return nil, api.Refuse(api.OutcomeUnknown, "the cell did not answer in time")
}

// TestSlowWriterIsTold: a write that was not answered because its body did not come says so; over both
// protocols. Where the cell was the slow one, that is said.
func TestSlowWriterIsTold(t *testing.T) {
	for _, c := range []struct {
		reads, comes bool
		want         api.Kind
	}{{true, false, api.InvalidArgument}, {true, true, api.OutcomeUnknown}, {false, false, api.OutcomeUnknown}} {
		for _, h2 := range []bool{false, true} {
			n := start(t, func(conf *Config) { conf.Services = waiting{&fake{}, c.reads} })
			n.of.bodyTime = 200 * time.Millisecond
			conf := clientTLS(t, api.RoleTenant)
			tr := &http.Transport{TLSClientConfig: conf, ForceAttemptHTTP2: h2}
			t.Cleanup(tr.CloseIdleConnections)
			body, more := io.Pipe()
			t.Cleanup(func() { _ = more.Close() })
			go func() {
				_, _ = io.WriteString(more, "a")
				if c.comes {
					_, _ = io.WriteString(more, "b")
					_ = more.Close()
				}
			}()
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, n.url+"/api/v1/leases/l-1/data", body)
			if err != nil {
				t.Fatal(err)
			}
			req.ContentLength = 2
			req.Header.Set(api.HeaderLeaseToken, "t")
			resp, err := tr.RoundTrip(req)
			if err != nil {
				t.Fatal(err)
			}
			var p api.Error
			if err := json.NewDecoder(resp.Body).Decode(&p); err != nil || p.Kind != c.want {
				t.Errorf("%+v, HTTP/2 %t: %s %q (%s), %v", c, h2, resp.Status, p.Kind, p.Detail, err)
			}
			_ = resp.Body.Close()
		}
	}
}

// TestNoLeaseToken: a transfer without a token is refused as the cell would refuse it.
func TestNoLeaseToken(t *testing.T) {
	n := start(t, nil)
	status, p := ask(t, raw(t, api.RoleTenant), http.MethodGet, n.url+"/api/v1/leases/l-1/data?length=1", nil)
	if status != http.StatusUnauthorized || p.Kind != api.Unauthenticated {
		t.Errorf("answered %d %q", status, p.Kind)
	}
}
