package server

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

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
	} {
		r := httptest.NewRequestWithContext(t.Context(), c.method, "/api/v1/leases/l-1/data"+c.query, strings.NewReader(c.body))
		r.Header.Set(api.HeaderLeaseToken, "t")
		req, err := dataRequest(&exchange{}, r)
		if api.KindOf(err) != c.kind || c.kind == "" && (req.Offset != c.offset || req.Length != c.length) {
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
