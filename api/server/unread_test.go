package server

import (
	"bufio"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/grafos/grafos/api"
)

// overTLS opens a connection of HTTP/1.1.
func overTLS(t *testing.T, n *sched, role api.Role) *tls.Conn {
	t.Helper()
	conf := clientTLS(t, role)
	conf.NextProtos = []string{"http/1.1"}
	c, err := (&tls.Dialer{Config: conf}).DialContext(t.Context(), "tcp", strings.TrimPrefix(n.url, "https://"))
	if err != nil {
		t.Fatal(err)
	}
	conn, ok := c.(*tls.Conn)
	if !ok {
		t.Fatalf("dialled a %T", c)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return conn
}

// drip sends a byte now and then, until nobody takes it.
func drip(t *testing.T, w io.Writer) {
	t.Helper()
	done, end := make(chan struct{}), make(chan struct{})
	t.Cleanup(func() { close(end); <-done })
	go func() {
		defer close(done)
		every := time.NewTicker(20 * time.Millisecond)
		defer every.Stop()
		for {
			select {
			case <-end:
				return
			case <-every.C:
				if _, err := io.WriteString(w, "x"); err != nil {
					return
				}
			}
		}
	}()
}

// TestBodiesThatDoNotArrive: over HTTP/1.1 every request is answered in its time, whether it is refused
// before or after its body was waited for, and its connection is closed.
func TestBodiesThatDoNotArrive(t *testing.T) {
	t.Parallel()
	const length = "Content-Length: 5000\r\n"
	for _, c := range []struct {
		name, path, head string
		role             api.Role
		kind             api.Kind
		within           time.Duration // beside that of an answer
	}{
		{"nobody's", "POST /api/v1/cells/bootstrap", length, "", api.InvalidArgument, 0},
		{"a tenant's", "POST /api/v1/leases", length, api.RoleTenant, api.InvalidArgument, 0},
		{"in pieces", "POST /api/v1/leases", "Transfer-Encoding: chunked\r\n", api.RoleTenant, api.InvalidArgument, 0},
		{"asks first", "POST /api/v1/leases", length + "Expect: 100-continue\r\n", api.RoleTenant, api.InvalidArgument, restTime},
		{"who is it", "POST /api/v1/leases", length, "", api.Unauthenticated, restTime},
		{"may not", "POST /api/v1/tenants", length, api.RoleTenant, api.Forbidden, restTime},
		{"too large", "POST /api/v1/leases", "Content-Length: 70000\r\n", api.RoleTenant, api.TooLarge, restTime},
		{"far too large", "POST /api/v1/leases", "Content-Length: 7000000\r\n", api.RoleTenant, api.TooLarge, restTime},
		{"no path", "POST /api/v1/nothing", length, api.RoleTenant, api.NotFound, restTime},
		{"no plain path", "POST /api//v1", length, api.RoleTenant, api.NotFound, restTime},
		{"of a reader", "GET /api/v1/blobs/nothing", length, api.RoleTenant, api.InvalidArgument, restTime},
		{"no digest", "PUT /api/v1/blobs/nothing", length, api.RoleTenant, api.InvalidArgument, restTime},
	} {
		for _, drips := range []bool{false, true} {
			t.Run(fmt.Sprint(c.name, " ", drips), func(t *testing.T) {
				t.Parallel()
				n := start(t, nil)
				n.of.bodyTime = 300 * time.Millisecond
				conn, began := overTLS(t, n, c.role), time.Now()
				first := "x"
				if strings.Contains(c.head, "chunked") {
					first = "1000\r\nx"
				}
				if _, err := io.WriteString(conn, c.path+" HTTP/1.1\r\nHost: s\r\nContent-Type: application/json\r\n"+c.head+"\r\n"+first); err != nil {
					t.Fatal(err)
				}
				if drips {
					drip(t, conn)
				}
				checkRefused(t, conn, c.kind)
				if took, most := time.Since(began), c.within+5*time.Second; took > most {
					t.Errorf("it took %s, more than %s", took, most)
				}
			})
		}
	}
}

// checkRefused reads the one answer of a connection, and its end.
func checkRefused(t *testing.T, conn *tls.Conn, want api.Kind) {
	t.Helper()
	from := bufio.NewReader(conn)
	resp, err := http.ReadResponse(from, nil)
	for err == nil && resp.StatusCode == http.StatusContinue {
		resp, err = http.ReadResponse(from, nil)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	var p api.Error
	if err := json.NewDecoder(resp.Body).Decode(&p); err != nil || p.Kind != want {
		t.Errorf("answered %s %q (%s), %v", resp.Status, p.Kind, p.Detail, err)
	}
	if !resp.Close {
		t.Error("the connection is to be kept")
	}
	if err := conn.SetReadDeadline(time.Now().Add(restTime + 3*time.Second)); err != nil {
		t.Fatal(err)
	}
	_, err = io.Copy(io.Discard, from)
	if ne, ok := errors.AsType[net.Error](err); ok && ne.Timeout() {
		t.Error("the connection stays open")
	}
}

// TestRefusedForWantOfRoom: who is refused because others hold the room hears of it, whatever became
// of its body.
func TestRefusedForWantOfRoom(t *testing.T) {
	t.Parallel()
	n := start(t, func(c *Config) { c.MaxInFlight = 1 })
	const head = "POST /api/v1/cells/bootstrap HTTP/1.1\r\nHost: s\r\nContent-Length: 5000\r\n\r\nx"
	holder := overTLS(t, n, "")
	if _, err := io.WriteString(holder, head); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() bool { return len(n.of.nobody) == 1 })
	conn := overTLS(t, n, "")
	if _, err := io.WriteString(conn, head); err != nil {
		t.Fatal(err)
	}
	checkRefused(t, conn, api.Overloaded)
}

// TestRefusedKeepItsConnection: a body that comes whole, if slowly, costs nobody the connection, refused
// or not; and an answer that takes longer than a body may is not cut off.
func TestRefusedKeepItsConnection(t *testing.T) {
	t.Parallel()
	n := start(t, nil)
	n.of.bodyTime = time.Second
	conn := overTLS(t, n, api.RoleTenant)
	from := bufio.NewReader(conn)
	for _, c := range []struct {
		path   string
		status int
	}{
		{"POST /api/v1/tenants", http.StatusForbidden},
		{"POST /api/v1/nothing", http.StatusNotFound},
		{"POST /api/v1/leases", http.StatusUnprocessableEntity},
		{"PUT /api/v1/blobs/" + string(digest("{}    ")), http.StatusNoContent},
		{"POST /api/v1/tenants", http.StatusForbidden},
	} {
		if _, err := io.WriteString(conn, c.path+" HTTP/1.1\r\nHost: s\r\nContent-Type: application/json\r\nContent-Length: 6\r\n\r\n{}"); err != nil {
			t.Fatal(err)
		}
		for range 4 {
			sleep(t.Context(), 20*time.Millisecond) // a slow sender
			if _, err := io.WriteString(conn, " "); err != nil {
				t.Fatal(err)
			}
		}
		resp, err := http.ReadResponse(from, nil)
		if err != nil {
			t.Fatal(c.path, err)
		}
		if _, err := io.Copy(io.Discard, resp.Body); err != nil || resp.StatusCode != c.status || resp.Close {
			t.Errorf("%s: %s, closed %t, %v", c.path, resp.Status, resp.Close, err)
		}
		_ = resp.Body.Close()
	}
}

// TestStreamsOutliveBodies: over HTTP/1.1 neither a stream nor a long upload is cut off by what a body has
// of time.
func TestStreamsOutliveBodies(t *testing.T) {
	t.Parallel()
	n := start(t, nil)
	n.fake.hold = true
	n.of.bodyTime = 50 * time.Millisecond
	for name, rest := range map[string]string{"no body": "\r\n", "a body": "Content-Length: 2\r\n\r\n{}"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conn := overTLS(t, n, api.RoleCell)
			if _, err := io.WriteString(conn, "GET /api/v1/cells/aws-1/watch?cell_epoch=1 HTTP/1.1\r\nHost: s\r\n"+rest); err != nil {
				t.Fatal(err)
			}
			from := bufio.NewReader(conn)
			resp, err := http.ReadResponse(from, nil)
			if err != nil || resp.StatusCode != http.StatusOK {
				t.Fatal(resp, err)
			}
			defer func() { _ = resp.Body.Close() }()
			if err := conn.SetReadDeadline(time.Now().Add(restTime + time.Second)); err != nil {
				t.Fatal(err)
			}
			_, err = io.Copy(io.Discard, resp.Body)
			if ne, ok := errors.AsType[net.Error](err); !ok || !ne.Timeout() {
				t.Errorf("the stream ended: %v", err)
			}
		})
	}
	t.Run("an upload", func(t *testing.T) {
		t.Parallel()
		conn := overTLS(t, n, api.RoleTenant)
		const what = "a blob that takes its time"
		if _, err := fmt.Fprintf(conn, "PUT /api/v1/blobs/%s HTTP/1.1\r\nHost: s\r\nContent-Length: %d\r\n\r\n", digest(what), len(what)); err != nil {
			t.Fatal(err)
		}
		for _, c := range what {
			sleep(t.Context(), restTime/20)
			if _, err := io.WriteString(conn, string(c)); err != nil {
				t.Fatal(err)
			}
		}
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatal(err)
		}
		if _ = resp.Body.Close(); resp.StatusCode != http.StatusNoContent || resp.Close {
			t.Errorf("answered %s, closed %t", resp.Status, resp.Close)
		}
	})
}
