package server

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// TestHurry: a body that does not come in time ends, one that does is read, and either request
// is answered, over both protocols.
func TestHurry(t *testing.T) {
	for _, proto := range []int{1, 2} {
		s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			d := time.Minute
			if r.URL.Path == "/late" {
				d = 50 * time.Millisecond
			}
			stop := hurry(w, d)
			b, err := io.ReadAll(r.Body)
			stop(err == nil)
			ne, ok := errors.AsType[net.Error](err)
			_, _ = fmt.Fprintf(w, "HTTP/%d %q %v", r.ProtoMajor, b, ok && ne.Timeout())
		}))
		s.EnableHTTP2 = proto == 2
		s.StartTLS()
		t.Cleanup(s.Close)
		for path, want := range map[string]string{"/late": `HTTP/%d "a" true`, "/good": `HTTP/%d "ab" false`} {
			body, more := io.Pipe()
			t.Cleanup(func() { _ = more.Close() })
			go func() {
				_, _ = io.WriteString(more, "a") // nobody may read it
				if path == "/good" {
					_, _ = io.WriteString(more, "b")
					_ = more.Close()
				}
			}()
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL+path, body)
			if err != nil {
				t.Fatal(err)
			}
			resp, err := s.Client().Do(req)
			if err != nil {
				t.Fatal(path, err)
			}
			said, err := io.ReadAll(resp.Body)
			if _ = resp.Body.Close(); err != nil && len(said) == 0 {
				t.Error(path, err)
			}
			if want := fmt.Sprintf(want, proto); !strings.HasPrefix(string(said), want) {
				t.Errorf("%s: %s, want %s", path, said, want)
			}
		}
	}
}
