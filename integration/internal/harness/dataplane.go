package harness

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"time"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/capbroker/pki"
)

// DataPlane returns a client of the cells' data planes, with an operator's certificate; the
// capability token says what it may do.
func (c *Cluster) DataPlane() (*http.Client, error) {
	m, err := pki.LoadMaterial(filepath.Join(c.DevDir(), "material"))
	if err != nil {
		return nil, err
	}
	cred, err := m.Issue(pki.CertRequest{Identity: pki.Identity{Role: api.RoleOperator, Name: "user"}})
	if err != nil {
		return nil, err
	}
	conf, err := c.TLS(cred, api.RoleCell)
	if err != nil {
		return nil, err
	}
	return &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{TLSClientConfig: conf, MaxIdleConnsPerHost: 16}}, nil
}

// Write writes data at the beginning of a granted lease.
func Write(ctx context.Context, h *http.Client, g api.Grant, data []byte) error {
	_, err := touch(ctx, h, g, http.MethodPut, g.Coordinate+"?offset=0", bytes.NewReader(data))
	return err
}

// Read reads n bytes from the beginning of a granted lease.
func Read(ctx context.Context, h *http.Client, g api.Grant, n int) ([]byte, error) {
	return touch(ctx, h, g, http.MethodGet, fmt.Sprintf("%s?offset=0&length=%d", g.Coordinate, n), nil)
}

func touch(ctx context.Context, h *http.Client, g api.Grant, method, url string, body io.Reader) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, url, body)
	if err != nil {
		return nil, fmt.Errorf("touch lease %s: %w", g.ID, err)
	}
	req.Header.Set("Authorization", "Bearer "+g.Token)
	resp, err := h.Do(req)
	if err != nil {
		return nil, fmt.Errorf("touch lease %s: %w", g.ID, err)
	}
	defer func() { _ = resp.Body.Close() }() // read to its end below
	b, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return nil, fmt.Errorf("touch lease %s: %w", g.ID, err)
	}
	if resp.StatusCode/100 != 2 {
		return nil, fmt.Errorf("touch lease %s: status %d: %s", g.ID, resp.StatusCode, b)
	}
	return b, nil
}
