package jwks

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
)

func ecKey(tb testing.TB) *ecdsa.PrivateKey {
	tb.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	return k
}

func rsaKey(tb testing.TB, bits int) *rsa.PrivateKey {
	tb.Helper()
	tb.Setenv("GODEBUG", "rsa1024min=0")
	k, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		tb.Fatal(err)
	}
	return k
}

func document(tb testing.TB, keys ...jose.JSONWebKey) []byte {
	tb.Helper()
	b, err := json.Marshal(jose.JSONWebKeySet{Keys: keys})
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

func TestParse(t *testing.T) {
	edPub, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ec, big := ecKey(t), rsaKey(t, 2048)
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	good := []jose.JSONWebKey{
		{Key: &big.PublicKey, KeyID: "r", Use: "sig", Algorithm: "RS256"},
		{Key: &ec.PublicKey, KeyID: "e"},
		{Key: edPub, KeyID: "o", Use: "sig"},
		// What an issuer may have and is of no use here.
		{Key: &p384.PublicKey, KeyID: "p384"},
		{Key: &big.PublicKey, KeyID: "enc", Use: "enc"},
		{Key: &big.PublicKey, KeyID: "ps", Algorithm: "PS256"},
		{Key: &ec.PublicKey},
	}
	set, err := Parse(document(t, good...))
	if err != nil || len(set) != 3 || set["r"].Algorithm != "RS256" || set["e"].Algorithm != "ES256" || set["o"].Algorithm != "EdDSA" {
		t.Fatalf("%v, %v", set, err)
	}
	if set, err := Parse([]byte(strings.Replace(string(document(t, good[1])), `"kty"`, `"key_ops":["encrypt"],"kty"`, 1))); err == nil {
		t.Errorf("a key that verifies nothing is taken: %v", set)
	}
	many := make([]jose.JSONWebKey, MaxKeys+1)
	for i := range many {
		many[i] = jose.JSONWebKey{Key: edPub, KeyID: fmt.Sprint(i)}
	}
	for name, c := range map[string]struct {
		doc  string
		want string
	}{
		"empty":         {"", "not a JSON Web Key Set"},
		"no set":        {`[]`, "not a JSON Web Key Set"},
		"no keys":       {`{"keys":[]}`, "none of the 0 keys"},
		"null":          {`{"keys":[null]}`, "none of the 1 keys"},
		"text":          {`{"keys":["x"]}`, "key 1 of the set cannot be read"},
		"of no use":     {string(document(t, good[3:]...)), "none of the 4 keys"},
		"one name":      {string(document(t, good[0], jose.JSONWebKey{Key: edPub, KeyID: "r"})), "two keys"},
		"private ec":    {string(document(t, good[0], jose.JSONWebKey{Key: ec, KeyID: "x"})), "a secret"},
		"private rsa":   {string(document(t, jose.JSONWebKey{Key: big, KeyID: "x"})), "a secret"},
		"private ed":    {string(document(t, jose.JSONWebKey{Key: ed, KeyID: "x"})), "a secret"},
		"private, enc":  {string(document(t, jose.JSONWebKey{Key: big, Use: "enc"})), "a secret"},
		"shared":        {string(document(t, jose.JSONWebKey{Key: []byte("0123456789abcdef"), KeyID: "x"})), "a secret"},
		"weak":          {string(document(t, jose.JSONWebKey{Key: &rsaKey(t, 1024).PublicKey, KeyID: "x"})), "1024 bits"},
		"off the curve": {`{"keys":[{"kty":"EC","crv":"P-256","kid":"x","x":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAE","y":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAE"}]}`, `key "x"`},
		"long name":     {string(document(t, jose.JSONWebKey{Key: edPub, KeyID: strings.Repeat("k", MaxKID+1)})), "257 bytes"},
		"many":          {string(document(t, many...)), "129 keys"},
		"10 MB":         {strings.Repeat(" ", 10_000_000), "10000000 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			if set, err := Parse([]byte(c.doc)); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, %v: want %q", set, err, c.want)
			}
		})
	}
}

// hand is a clock that stands until it is moved.
type hand struct {
	mu sync.Mutex
	at time.Time
}

func (h *hand) Now() time.Time { h.mu.Lock(); defer h.mu.Unlock(); return h.at }

func (h *hand) Wall() time.Time { return h.Now() }

func (h *hand) pass(d time.Duration) { h.mu.Lock(); defer h.mu.Unlock(); h.at = h.at.Add(d) }

func (s *Source) tries() int { s.mu.Lock(); defer s.mu.Unlock(); return s.loaded }

// A set is asked for when it is old or lacks a key, at most once a pause, and the last good one is
// used for a bounded time while there is no other.
func TestSource(t *testing.T) {
	a, b := jose.JSONWebKey{Key: &ecKey(t).PublicKey, KeyID: "a"}, jose.JSONWebKey{Key: &ecKey(t).PublicKey, KeyID: "b"}
	down := errors.New("nobody is there")
	var doc []byte
	fault := down
	clk := &hand{at: time.Unix(1_800_000_000, 0)}
	s := NewSource(func(context.Context) ([]byte, error) { return doc, fault }, clk)
	key := func(id string) error {
		t.Helper()
		_, err := s.Key(t.Context(), id)
		return err
	}
	tries := func(want int) {
		t.Helper()
		if got := s.tries(); got != want {
			t.Errorf("%d tries, want %d", got, want)
		}
	}
	var gone *UnavailableError
	for range 3 {
		if err := key("a"); !errors.As(err, &gone) || !errors.Is(err, down) {
			t.Errorf("without a set: %v", err)
		}
	}
	tries(1)
	doc, fault = document(t, a), nil
	clk.pass(Pause)
	if err := key("a"); err != nil {
		t.Error(err)
	}
	tries(2)
	clk.pass(Fresh - Pause)
	for range 3 {
		if err := key("a"); err != nil {
			t.Error(err)
		}
	}
	tries(2)

	// A new key: found at once, and names of no key ask once a pause.
	doc = document(t, a, b)
	if err := key("b"); err != nil {
		t.Error(err)
	}
	tries(3)
	var none *NoKeyError
	for n := range 100 {
		if err := key(fmt.Sprint(n)); !errors.As(err, &none) {
			t.Errorf("no such key: %v", err)
		}
	}
	tries(3)
	clk.pass(Pause)
	for n := range 100 {
		_ = key(fmt.Sprint(n))
	}
	tries(4)

	// A key that is gone is gone when the set is fresh again.
	doc = document(t, b)
	clk.pass(Fresh)
	if err := key("a"); !errors.As(err, &none) {
		t.Errorf("withdrawn: %v", err)
	}
	tries(5)

	// Down, and what comes is nonsense: the last good one for a while, no longer.
	for n, spoil := range []func(){func() { fault = down }, func() { doc, fault = []byte(`{"keys":[]}`), nil }} {
		spoil()
		clk.pass(MaxStale/2 - time.Hour)
		if err := key("b"); err != nil {
			t.Errorf("%d: stale: %v", n, err)
		}
	}
	clk.pass(3 * time.Hour)
	if err := key("b"); !errors.As(err, &gone) || gone.Stale <= MaxStale {
		t.Errorf("too stale: %v", err)
	}
	tries(8)
}

// Many who ask at once make one try, and who goes away meanwhile takes it from nobody.
func TestSourceOnce(t *testing.T) {
	doc := document(t, jose.JSONWebKey{Key: &ecKey(t).PublicKey, KeyID: "a"})
	asked, answer := make(chan struct{}), make(chan struct{})
	s := NewSource(func(ctx context.Context) ([]byte, error) {
		close(asked)
		<-answer
		return doc, ctx.Err()
	}, &hand{at: time.Unix(1_800_000_000, 0)})
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { _, _ = s.Key(ctx, "a") })
	<-asked
	for range 20 {
		wg.Go(func() {
			if _, err := s.Key(t.Context(), "a"); err != nil {
				t.Error(err)
			}
		})
	}
	if _, err := s.Key(cancelled(t), "a"); !errors.Is(err, context.Canceled) {
		t.Errorf("who waits no longer: %v", err)
	}
	cancel()
	close(answer)
	wg.Wait()
	if s.tries() != 1 {
		t.Errorf("%d tries", s.tries())
	}
}

func cancelled(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	return ctx
}

func TestFromFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys.json")
	load := FromFile(path)
	if _, err := load(t.Context()); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
	for _, n := range []int{7, MaxSize, MaxSize + 1, 2 * MaxSize} {
		if err := os.WriteFile(path, make([]byte, n), 0o600); err != nil {
			t.Fatal(err)
		}
		if b, err := load(t.Context()); err != nil || len(b) != min(n, MaxSize+1) {
			t.Errorf("%d: %d, %v", n, len(b), err)
		}
	}
}

func TestFromURL(t *testing.T) {
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/keys":
			_, _ = w.Write([]byte("a document"))
		case "/moved":
			http.Redirect(w, r, "/keys", http.StatusFound)
		case "/long":
			w.Header().Set("Content-Length", "10000000")
			_, _ = w.Write(make([]byte, 10_000_000))
		case "/endless":
			for range 1000 {
				if _, err := w.Write(make([]byte, 1<<16)); err != nil {
					return
				}
			}
		default:
			http.NotFound(w, r)
		}
	}))
	s.Config.ErrorLog = nil
	defer s.Close()
	ours := x509.NewCertPool()
	ours.AppendCertsFromPEM(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}))
	fetch := func(path string, roots *x509.CertPool) ([]byte, error) {
		t.Helper()
		load, err := FromURL(s.URL+path, roots)
		if err != nil {
			t.Fatal(err)
		}
		return load(t.Context())
	}
	if b, err := fetch("/keys", ours); err != nil || string(b) != "a document" {
		t.Errorf("%q, %v", b, err)
	}
	if b, err := fetch("/endless", ours); err != nil || len(b) != MaxSize+1 {
		t.Errorf("%d bytes, %v", len(b), err)
	}
	for path, want := range map[string]string{"/moved": "not followed", "/long": "at most", "/none": "404"} {
		if b, err := fetch(path, ours); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %d bytes, %v", path, len(b), err)
		}
	}
	if _, err := fetch("/keys", x509.NewCertPool()); err == nil {
		t.Error("a server under another CA is believed")
	}
	for _, address := range []string{"http://example.com/keys", "https://", "keys", "https://u:p@example.com/", "file:///etc/passwd", "https://example.com/#x", "\x00"} {
		if _, err := FromURL(address, nil); err == nil {
			t.Errorf("%q is taken", address)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"x","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}`))
	f.Add([]byte(`{"keys":[{"kty":"oct","k":"AA"}]}`))
	f.Add([]byte(`{"keys":[null,{}]}`))
	f.Fuzz(func(t *testing.T, doc []byte) {
		set, err := Parse(doc)
		if err != nil {
			return
		}
		for id, k := range set {
			if id == "" || k.ID != id || check(k.Algorithm, k.Public) != nil {
				t.Errorf("%q: %+v", id, k)
			}
		}
	})
}
