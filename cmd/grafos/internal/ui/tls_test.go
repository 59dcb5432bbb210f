package ui

import (
	"crypto/tls"
	"net"
	"net/http"
	"testing"
	"time"
)

// TestStoppedCell: a cell that takes a connection and says nothing is given up long before one that
// works on its answer.
func TestStoppedCell(t *testing.T) {
	t.Parallel()
	silent, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = silent.Close() }()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+silent.Addr().String(), nil)
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	resp, err := (&http.Client{Transport: dataPlane(&tls.Config{MinVersion: tls.VersionTLS13})}).Do(req)
	if err == nil {
		_ = resp.Body.Close()
		t.Fatal("it answered")
	}
	if took := time.Since(began); took > 2*dataPlaneReach {
		t.Errorf("it was waited for %s: %v", took, err)
	}
}
