package cellagent

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/grafos/grafos/api"
)

// big grants a lease of some pieces, and fills it.
func big(b *bench, id api.LeaseID, ttl time.Duration) []byte {
	b.t.Helper()
	data := make([]byte, 3*pieceMost+5)
	for i := range data {
		data[i] = byte(i ^ i>>8 ^ i>>16)
	}
	b.grant(string(id), ttl, func(l *api.Lease) { l.Kind, l.Use, l.Amount = api.KindBlock, "", 1<<20 })
	synctest.Wait()
	if r := b.call("PUT", "/v1/leases/"+string(id)+"?offset=7", b.cluster.token(id), data); r.Code != http.StatusNoContent {
		b.t.Fatalf("write answers %d (%s)", r.Code, kindOf(b.t, r))
	}
	return data
}

func TestStreaming(t *testing.T) {
	inBubble(t, func(b *bench) {
		t := b.t
		data := big(b, "d", time.Minute)
		r := b.call("GET", "/v1/leases/d?offset=7", b.cluster.token("d"), nil)
		want := append(data, make([]byte, 1<<20-7-len(data))...)
		if got := r.Body.Bytes(); !bytes.Equal(got, want) {
			t.Fatalf("%d bytes come back, and are not the %d that were written", len(got), len(want))
		}
	})
}

// pausing is a body that stands still before a piece.
type pausing struct {
	io.Reader
	at   int
	wait func()
	read int
}

func (p *pausing) Read(b []byte) (int, error) {
	if p.wait != nil && p.read >= p.at {
		p.wait()
		p.wait = nil
	}
	n, err := p.Reader.Read(b[:min(len(b), 1<<10)])
	p.read += n
	return n, err
}

// Each piece of a long write is looked at when it is there: what a revocation, a renewal or the
// deadline finds under way is refused from there on, and the answer says how much was written.
func TestLongWriteIsLookedAtPieceByPiece(t *testing.T) {
	for name, tc := range map[string]struct {
		meanwhile func(b *bench)
		want      []api.Kind
	}{
		"expired": {func(*bench) { time.Sleep(3 * time.Second) }, []api.Kind{api.TokenExpired, api.LeaseExpiredKind}},
		"renewed": {func(b *bench) {
			l := b.cluster.lease("d")
			l.Generation, l.Stamp = 2, stampOf(b.clock)
			b.cluster.put(l)
			synctest.Wait()
		}, []api.Kind{api.StaleGeneration}},
		"revoked": {func(b *bench) {
			l := b.cluster.lease("d")
			l.State, l.Reason = api.LeaseForcedTeardown, "revoked"
			b.cluster.put(l)
			synctest.Wait()
		}, []api.Kind{api.LeaseRevoked}},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(b *bench) {
				t := b.t
				b.grant("d", 2*time.Second, func(l *api.Lease) { l.Kind, l.Use, l.Amount = api.KindBlock, "", 1<<20 })
				synctest.Wait()
				body := &pausing{Reader: bytes.NewReader(bytes.Repeat([]byte{9}, 3*pieceMost)), at: pieceMost + 10}
				body.wait = func() { tc.meanwhile(b) }
				r := httptest.NewRequestWithContext(t.Context(), http.MethodPut, "/v1/leases/d", body)
				r.ContentLength = 3 * pieceMost
				r.Header.Set("Authorization", "Bearer "+b.cluster.token("d"))
				w := httptest.NewRecorder()
				b.agent.server.Handler.ServeHTTP(w, r)
				if !bytes.Contains(w.Body.Bytes(), []byte("256 KiB of it were written before")) {
					t.Errorf("the answer does not say what was written: %s", w.Body)
				}
				if got := kindOf(t, w); !slices.Contains(tc.want, got) {
					t.Errorf("answered %q, want one of %q", got, tc.want)
				}
			})
		})
	}
}

// A read whose lease ends half way is cut, not ended: its client sees that something is missing.
func TestLongReadIsCutAtTheEnd(t *testing.T) {
	inBubble(t, func(b *bench) {
		t := b.t
		big(b, "d", 2*time.Second)
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/v1/leases/d", nil)
		r.Header.Set("Authorization", "Bearer "+b.cluster.token("d"))
		w := &slowReader{ResponseRecorder: httptest.NewRecorder(), wait: time.Second}
		defer func() {
			if cause, ok := recover().(error); !ok || !errors.Is(cause, http.ErrAbortHandler) {
				t.Errorf("the answer of %d bytes was ended with %v", w.n, cause)
			}
			if w.n != 2*pieceMost {
				t.Errorf("%d bytes were sent within 2 s at %d a second", w.n, pieceMost)
			}
		}()
		b.agent.server.Handler.ServeHTTP(w, r)
	})
}

// slowReader takes a time for each piece.
type slowReader struct {
	*httptest.ResponseRecorder
	wait time.Duration
	n    int
}

func (s *slowReader) Write(b []byte) (int, error) {
	time.Sleep(s.wait)
	s.n += len(b)
	return s.ResponseRecorder.Write(b)
}

// A body that ends early, or does not say how long it is, writes nothing.
func TestBodiesThatDoNotFit(t *testing.T) {
	inBubble(t, func(b *bench) {
		t := b.t
		b.grant("m", time.Minute)
		synctest.Wait()
		put := func(target string, body io.Reader, length int64) api.Kind {
			r := httptest.NewRequestWithContext(t.Context(), http.MethodPut, target, body)
			r.ContentLength = length
			r.Header.Set("Authorization", "Bearer "+b.cluster.token("m"))
			w := httptest.NewRecorder()
			b.agent.server.Handler.ServeHTTP(w, r)
			return kindOf(t, w)
		}
		ones := func(n int) io.Reader { return bytes.NewReader(bytes.Repeat([]byte{1}, n)) }
		for _, tc := range []struct {
			name   string
			body   io.Reader
			length int64
			target string
			want   api.Kind
		}{
			{"too short", ones(100), 101, "/v1/leases/m", api.InvalidArgument},
			{"broken", io.MultiReader(ones(100), brokenReader{}), -1, "/v1/leases/m", api.InvalidArgument},
			{"untold and too long for the lease", ones(4097), -1, "/v1/leases/m", api.InvalidArgument},
			{"untold and too long", ones(pieceMost + 1), -1, "/v1/leases/m", api.TooLarge},
			{"untold and not what was said", ones(3), -1, "/v1/leases/m?length=4", api.InvalidArgument},
			{"beyond the end by its length alone", brokenReader{}, 4097, "/v1/leases/m", api.InvalidArgument},
		} {
			if got := put(tc.target, tc.body, tc.length); got != tc.want {
				t.Errorf("%s: answered %q, want %q", tc.name, got, tc.want)
			}
		}
		if r := b.call("GET", "/v1/leases/m", b.cluster.token("m"), nil); !bytes.Equal(r.Body.Bytes(), make([]byte, 4096)) {
			t.Error("something was written")
		}
		if got := put("/v1/leases/m?offset=4000", ones(96), -1); got != "" {
			t.Errorf("an untold body that fits is answered %q", got)
		}
	})
}

// TestSlowBodiesAreToldSo: who sends too slowly reads how long was waited for how much, and not what a socket said. One
// that comes no sooner than its lease ends hears of that.
func TestSlowBodiesAreToldSo(t *testing.T) {
	inBubble(t, func(b *bench) {
		t := b.t
		b.grant("m", time.Minute)
		b.grant("brief", 5*time.Second)
		synctest.Wait()
		for name, tc := range map[string]struct {
			lease  api.LeaseID
			length int64
			want   api.Kind
			words  string
		}{
			"told":          {"m", 100, api.InvalidArgument, "3 of the 100 bytes at 7 came within 10s"},
			"untold":        {"m", -1, api.InvalidArgument, "no end after 10s and 3 bytes"},
			"lease is over": {"brief", 100, api.LeaseExpiredKind, "lease brief ended before the 100 bytes at 7 had come"},
		} {
			r := httptest.NewRequestWithContext(t.Context(), http.MethodPut, "/v1/leases/"+string(tc.lease)+"?offset=7", io.MultiReader(bytes.NewReader(make([]byte, 3)), lateReader{}))
			r.ContentLength = tc.length
			r.Header.Set("Authorization", "Bearer "+b.cluster.token(tc.lease))
			w := httptest.NewRecorder()
			b.agent.server.Handler.ServeHTTP(w, r)
			said := w.Body.String()
			if got := kindOf(t, w); got != tc.want || !strings.Contains(said, tc.words) || strings.Contains(said, "timeout") {
				t.Errorf("%s: answered %s", name, said)
			}
		}
	})
}

// lateReader is a connection whose time is over.
type lateReader struct{}

func (lateReader) Read([]byte) (int, error) {
	return 0, &net.OpError{Op: "read", Net: "tcp", Err: os.ErrDeadlineExceeded}
}

type brokenReader struct{}

func (brokenReader) Read([]byte) (int, error) { return 0, errors.New("the line broke") }
