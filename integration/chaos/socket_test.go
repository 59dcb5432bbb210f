package chaos

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/integration/internal/fleet"
)

// socket is one connection to one scheduler. What is written to it waits in the scheduler's
// kernel when the scheduler stands still; no client library decides to ask another one.
type socket struct {
	conn *tls.Conn
	in   *bufio.Reader
	node *fleet.Node
}

func openSocket(ctx context.Context, f *fleet.Fleet, n *fleet.Node) (*socket, error) {
	conf, err := f.TLS(api.RoleScheduler)
	if err != nil {
		return nil, err
	}
	conf.NextProtos = []string{"http/1.1"}
	u, err := url.Parse(n.URL)
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", n.Name, err)
	}
	conf.ServerName = u.Hostname()
	raw, err := f.Net.Host(fleet.UserHost).DialContext(ctx, "tcp", u.Host)
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", n.Name, err)
	}
	conn := tls.Client(raw, conf)
	if err := conn.HandshakeContext(ctx); err != nil {
		_ = raw.Close() // the handshake's error says more
		return nil, fmt.Errorf("connect to %s: %w", n.Name, err)
	}
	return &socket{conn: conn, in: bufio.NewReader(conn), node: n}, nil
}

// send writes a request and does not wait for its answer.
func (s *socket) send(method, path, key string, body any) error {
	var text []byte
	if body != nil {
		var err error
		if text, err = json.Marshal(body); err != nil {
			return fmt.Errorf("write request: %w", err)
		}
	}
	req, err := http.NewRequest(method, s.node.URL+"/api/v1"+path, bytes.NewReader(text))
	if err != nil {
		return fmt.Errorf("write request: %w", err)
	}
	req.Header.Set("Content-Type", "application/json")
	if key != "" {
		req.Header.Set("Idempotency-Key", key)
	}
	var out bytes.Buffer
	if err := req.Write(&out); err != nil {
		return fmt.Errorf("write request: %w", err)
	}
	if _, err := s.conn.Write(out.Bytes()); err != nil {
		return fmt.Errorf("write request to %s: %w", s.node.Name, err)
	}
	return nil
}

// answer reads the next answer into v; a refusal is the error.
func (s *socket) answer(v any, within time.Duration) error {
	if err := s.conn.SetReadDeadline(time.Now().Add(within)); err != nil {
		return fmt.Errorf("read answer: %w", err)
	}
	resp, err := http.ReadResponse(s.in, nil)
	if err != nil {
		return fmt.Errorf("read answer of %s: %w", s.node.Name, err)
	}
	defer func() { _ = resp.Body.Close() }() // read to its end below
	b, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return fmt.Errorf("read answer of %s: %w", s.node.Name, err)
	}
	if resp.StatusCode/100 == 2 {
		return json.Unmarshal(b, v)
	}
	var p api.Error
	if err := json.Unmarshal(b, &p); err != nil || p.Kind == "" {
		return fmt.Errorf("%s answered %s: %s", s.node.Name, resp.Status, b)
	}
	return &p
}

func (s *socket) close() { _ = s.conn.Close() }
