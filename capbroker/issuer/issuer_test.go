package issuer

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/api/clock"
	"github.com/grafos/grafos/capbroker/jwks"
	"github.com/grafos/grafos/capbroker/pki"
)

const (
	cluster = "g-test"
	ci      = "https://ci.example.com"
	cloud   = "https://cloud.example.com"
)

func now() time.Time { return time.Unix(1_800_000_000, 0) }

// signer is somebody who signs tokens.
type signer struct {
	t    testing.TB
	keys map[string]crypto.Signer
	doc  []byte
}

func newSigner(tb testing.TB) *signer {
	tb.Helper()
	s := &signer{t: tb, keys: map[string]crypto.Signer{}}
	r, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		tb.Fatal(err)
	}
	e, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	_, o, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	var set jose.JSONWebKeySet
	for id, k := range map[string]crypto.Signer{"rsa": r, "ec": e, "ed": o} {
		s.keys[id] = k
		set.Keys = append(set.Keys, jose.JSONWebKey{Key: k.Public(), KeyID: id, Use: "sig"})
	}
	if s.doc, err = json.Marshal(set); err != nil {
		tb.Fatal(err)
	}
	return s
}

func (s *signer) source() *jwks.Source {
	return jwks.NewSource(func(context.Context) ([]byte, error) { return s.doc, nil }, clock.System())
}

// claims are those of a token that is taken.
func claims() map[string]any {
	return map[string]any{
		"iss": ci, "aud": cluster, "sub": "job-7", "jti": "run-1", "iat": now().Unix(), "exp": now().Add(10 * time.Minute).Unix(),
		"cell_id": "aws-1", "provider": "aws",
	}
}

func with(change map[string]any) map[string]any {
	c := claims()
	for k, v := range change {
		if v == nil {
			delete(c, k)
		} else {
			c[k] = v
		}
	}
	return c
}

func (s *signer) sign(kid string, alg jose.SignatureAlgorithm, typ string, c map[string]any) string {
	s.t.Helper()
	return sign(s.t, jose.SigningKey{Algorithm: alg, Key: s.keys[kid]}, kid, typ, c)
}

func sign(tb testing.TB, key jose.SigningKey, kid, typ string, c map[string]any) string {
	tb.Helper()
	o := &jose.SignerOptions{}
	if kid != "" {
		o = o.WithHeader("kid", kid)
	}
	if typ != "" {
		o = o.WithType(jose.ContentType(typ))
	}
	sg, err := jose.NewSigner(key, o)
	if err != nil {
		tb.Fatal(err)
	}
	token, err := jwt.Signed(sg).Claims(c).Serialize()
	if err != nil {
		tb.Fatal(err)
	}
	return token
}

func trusting(tb testing.TB, all ...Config) *Issuers {
	tb.Helper()
	s, err := New(cluster, all)
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

func TestVerify(t *testing.T) {
	s := newSigner(t)
	is := trusting(t, Config{Issuer: ci, Keys: s.source(), Providers: []api.ProviderID{"aws", "gcp"}})
	for kid, alg := range map[string]jose.SignatureAlgorithm{"rsa": jose.RS256, "ec": jose.ES256, "ed": jose.EdDSA} {
		for _, typ := range []string{"", "JWT", "jwt"} {
			token := s.sign(kid, alg, typ, claims())
			got, err := is.Verify(t.Context(), token, "aws", now())
			want := pki.BootstrapClaims{
				ID: scoped(ci, "run-1"), Issuer: ci, Provider: "aws", CellID: "aws-1", Uses: 1,
				IssuedAt: now().UTC(), ExpiresAt: now().Add(10 * time.Minute).UTC(),
			}
			if err != nil || got != want {
				t.Errorf("%s: %+v, %v", kid, got, err)
			}
			if !Foreign(token) {
				t.Error("it is not seen as another issuer's")
			}
		}
	}
	// What is counted is the issuer's id of the token, and nobody else's of the same name.
	if scoped(ci, "run-1") == scoped(cloud, "run-1") || strings.HasPrefix(scoped(ci, "x"), "x") {
		t.Error("two issuers have the ids of each other")
	}
}

func TestVerifyRefuses(t *testing.T) {
	s, other := newSigner(t), newSigner(t)
	is := trusting(t,
		Config{Issuer: ci, Keys: s.source(), Providers: []api.ProviderID{"aws", "azure"}, Require: map[string]string{"sub": "job-7"}},
		Config{Issuer: cloud, Keys: other.source(), Providers: []api.ProviderID{"gcp"}, Algorithms: []string{"ES256"}},
	)
	rs := func(change map[string]any) string { return s.sign("rsa", jose.RS256, "JWT", with(change)) }
	public, err := json.Marshal(s.keys["rsa"].Public())
	if err != nil {
		t.Fatal(err)
	}
	good := rs(nil)
	parts := strings.Split(good, ".")
	none := "eyJhbGciOiJub25lIiwia2lkIjoicnNhIn0." + parts[1] + "."
	at := func(d time.Duration) int64 { return now().Add(d).Unix() }
	for name, c := range map[string]struct {
		token, want string
	}{
		"no signature":            {none, "none"},
		"HS256 by the public key": {sign(t, jose.SigningKey{Algorithm: jose.HS256, Key: public}, "rsa", "", claims()), "HS256"},
		"PS256":                   {s.sign("rsa", jose.PS256, "", claims()), "PS256"},
		"another's algorithm":     {other.sign("ed", jose.EdDSA, "", with(map[string]any{"iss": cloud})), "of this issuer ES256 are taken"},
		"the key of another kind": {sign(t, jose.SigningKey{Algorithm: jose.RS256, Key: s.keys["rsa"]}, "ec", "", claims()), "is for ES256"},
		"another issuer's key":    {other.sign("rsa", jose.RS256, "", claims()), "does not verify"},
		"in another's name":       {s.sign("ec", jose.ES256, "", with(map[string]any{"iss": cloud, "provider": "gcp"})), "does not verify"},
		"no key's name":           {sign(t, jose.SigningKey{Algorithm: jose.RS256, Key: s.keys["rsa"]}, "", "", claims()), "which key"},
		"unknown key":             {sign(t, jose.SigningKey{Algorithm: jose.RS256, Key: s.keys["rsa"]}, "old", "", claims()), `no key "old"`},
		"unknown issuer":          {rs(map[string]any{"iss": "https://evil.example.com"}), "does not trust"},
		"issuer with a slash":     {rs(map[string]any{"iss": ci + "/"}), "does not trust"},
		"no issuer":               {rs(map[string]any{"iss": nil}), "does not trust"},
		"another audience":        {rs(map[string]any{"aud": "g-other"}), "meant for"},
		"no audience":             {rs(map[string]any{"aud": nil}), "meant for"},
		"two audiences":           {rs(map[string]any{"aud": []string{cluster, "g-other"}}), "alone"},
		"expired":                 {rs(map[string]any{"iat": at(-time.Hour), "exp": at(0)}), "expired 0s ago"},
		"not yet valid":           {rs(map[string]any{"nbf": at(6 * time.Minute)}), "not valid yet"},
		"of the future":           {rs(map[string]any{"iat": at(6 * time.Minute)}), "in the future"},
		"too long":                {rs(map[string]any{"exp": at(time.Hour + time.Second)}), "lives 1h0m1s"},
		"far too long":            {rs(map[string]any{"exp": int64(1) << 60}), "at most 1h"},
		"ends before":             {rs(map[string]any{"iat": at(5 * time.Minute), "exp": at(time.Minute)}), "ends before"},
		"no end":                  {rs(map[string]any{"exp": nil}), "when it ends"},
		"no beginning":            {rs(map[string]any{"iat": nil}), "when it was issued"},
		"no id":                   {rs(map[string]any{"jti": nil}), "jti"},
		"empty id":                {rs(map[string]any{"jti": ""}), "jti"},
		"long id":                 {rs(map[string]any{"jti": strings.Repeat("j", 513)}), "jti"},
		"id of a number":          {rs(map[string]any{"jti": 7}), "cannot be read"},
		"without what is asked":   {rs(map[string]any{"sub": "job-8"}), "claim sub"},
		"provider of another":     {rs(map[string]any{"provider": "gcp"}), "not trusted for it"},
		"no provider, of two":     {rs(map[string]any{"provider": nil}), "names no provider"},
		"provider of a number":    {rs(map[string]any{"provider": 7}), "no text"},
		"cell of no name":         {rs(map[string]any{"cell_id": "No/Name"}), "nothing sensible"},
		"another kind of token":   {s.sign("rsa", jose.RS256, "logout+jwt", claims()), "logout+jwt"},
		"our own kind":            {s.sign("rsa", jose.RS256, "grafos-bootstrap+jwt", claims()), "plain JWT"},
		"cut":                     {good[:len(good)-8], "the bootstrap token"},
		"two parts":               {parts[0] + "." + parts[1], "not a compact JWT"},
		"line break":              {good + "\n", "base64url"},
		"padded":                  {good + "=", "base64url"},
		"long":                    {good + strings.Repeat("A", MaxToken), "at most 8192"},
		"empty":                   {"", "not a compact JWT"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := is.Verify(t.Context(), c.token, "aws", now())
			p, ok := api.AsError(err)
			if !ok || p.Kind != api.BootstrapTokenInvalid || !strings.Contains(p.Detail, c.want) || p.Hint == "" || got != (pki.BootstrapClaims{}) {
				t.Errorf("%+v, %v: want %q", got, err, c.want)
			}
			if ok && len(c.token) > 20 && strings.Contains(p.Detail+p.Hint, c.token) {
				t.Error("the refusal repeats the token")
			}
		})
	}
	if _, err := is.Verify(t.Context(), good, "aws", now()); err != nil {
		t.Errorf("the good one: %v", err)
	}
}

// No change of any byte of a token leaves it one that is taken.
func TestEveryByte(t *testing.T) {
	s := newSigner(t)
	is := trusting(t, Config{Issuer: ci, Keys: s.source(), Providers: []api.ProviderID{"aws"}})
	good := s.sign("ec", jose.ES256, "", claims())
	for i := range good {
		for _, b := range []byte{'A', 'z', '.', '-', 0, good[i] ^ 1} {
			if b == good[i] {
				continue
			}
			if _, err := is.Verify(t.Context(), good[:i]+string(b)+good[i+1:], "aws", now()); err == nil {
				t.Fatalf("byte %d changed to %q", i, b)
			}
		}
	}
}

// The claims are where the operator says they are.
func TestClaims(t *testing.T) {
	s := newSigner(t)
	is := trusting(t, Config{
		Issuer: ci, Keys: s.source(), Providers: []api.ProviderID{"aws", "gcp"}, Audience: "grafos.example", MaxTTL: 24 * time.Hour,
		ProviderClaim: "/grafos~1v1/place/provider", CellClaim: "https://example.com/cell", UsesClaim: "/grafos~1v1/uses",
	})
	at := func(provider, uses any) map[string]any {
		return with(map[string]any{
			"aud": []string{"grafos.example"}, "exp": now().Add(24 * time.Hour).Unix(), "provider": nil, "cell_id": nil,
			"https://example.com/cell": "gcp-9", "grafos/v1": map[string]any{"place": map[string]any{"provider": provider}, "uses": uses},
		})
	}
	got, err := is.Verify(t.Context(), s.sign("ed", jose.EdDSA, "", at("gcp", 5)), "gcp", now())
	if err != nil || got.Provider != "gcp" || got.CellID != "gcp-9" || got.Uses != 5 {
		t.Errorf("%+v, %v", got, err)
	}
	for name, c := range map[string]map[string]any{
		"other provider": at("azure", 1), "no provider": at(nil, 1), "none": at("gcp", 0), "half": at("gcp", 1.5), "text": at("gcp", "1"),
		"many": at("gcp", 1001), "negative": at("gcp", -1), "no uses": at("gcp", nil), "flat": with(map[string]any{"aud": "grafos.example"}),
	} {
		if got, err := is.Verify(t.Context(), s.sign("ed", jose.EdDSA, "", c), "gcp", now()); api.KindOf(err) != api.BootstrapTokenInvalid {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
	// One provider, and claims that say nothing of it or of a cell: what is asked for.
	is = trusting(t, Config{Issuer: ci, Keys: s.source(), Providers: []api.ProviderID{"aws"}})
	bare := s.sign("ed", jose.EdDSA, "", with(map[string]any{"provider": nil, "cell_id": nil}))
	if got, err := is.Verify(t.Context(), bare, "aws", now()); err != nil || got.Provider != "aws" || got.CellID != "" {
		t.Errorf("%+v, %v", got, err)
	}
	if got, err := is.Verify(t.Context(), bare, "gcp", now()); api.KindOf(err) != api.BootstrapTokenInvalid {
		t.Errorf("for another provider: %+v, %v", got, err)
	}
}

// While there are no keys the answer says that it may be otherwise later; so it does of a key that is not known yet: an
// issuer may have a new one.
func TestKeysAway(t *testing.T) {
	s := newSigner(t)
	known := trusting(t, Config{Issuer: ci, Keys: s.source(), Providers: []api.ProviderID{"aws"}})
	_, err := known.Verify(t.Context(), sign(t, jose.SigningKey{Algorithm: jose.RS256, Key: s.keys["rsa"]}, "new", "", claims()), "aws", now())
	if p, ok := api.AsError(err); !ok || p.RetryAfterMs != jwks.Pause.Milliseconds() || !strings.Contains(p.Hint, "the same token") {
		t.Errorf("with a new key: %v", err)
	}
	src := jwks.NewSource(func(context.Context) ([]byte, error) { return nil, errors.New("nobody is there") }, clock.System())
	is := trusting(t, Config{Issuer: ci, Keys: src, Providers: []api.ProviderID{"aws"}})
	_, err = is.Verify(t.Context(), s.sign("ed", jose.EdDSA, "", claims()), "aws", now())
	p, ok := api.AsError(err)
	if !ok || p.Kind != api.BootstrapTokenInvalid || p.RetryAfterMs <= 0 || !strings.Contains(p.Detail, "nobody is there") {
		t.Errorf("%v", err)
	}
}

func TestNewRefuses(t *testing.T) {
	keys := newSigner(t).source()
	good := Config{Issuer: ci, Keys: keys, Providers: []api.ProviderID{"aws"}}
	for name, spoil := range map[string]func(*Config){
		"no issuer":       func(c *Config) { c.Issuer = "" },
		"http":            func(c *Config) { c.Issuer = "http://ci.example.com" },
		"a word":          func(c *Config) { c.Issuer = "ci" },
		"no provider":     func(c *Config) { c.Providers = nil },
		"bad provider":    func(c *Config) { c.Providers = []api.ProviderID{"a b"} },
		"none":            func(c *Config) { c.Algorithms = []string{"none"} },
		"HS256":           func(c *Config) { c.Algorithms = []string{"RS256", "HS256"} },
		"short":           func(c *Config) { c.MaxTTL = time.Millisecond },
		"long":            func(c *Config) { c.MaxTTL = pki.MaxBootstrapTTL + 1 },
		"without any key": func(c *Config) { c.Keys = nil },
	} {
		c := good
		spoil(&c)
		if _, err := New(cluster, []Config{c}); api.KindOf(err) != api.InvalidArgument {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := New(cluster, []Config{good, good}); api.KindOf(err) != api.InvalidArgument {
		t.Errorf("twice: %v", err)
	}
	if _, err := New(cluster, make([]Config, MaxIssuers+1)); api.KindOf(err) != api.InvalidArgument {
		t.Errorf("many: %v", err)
	}
}

func TestForeign(t *testing.T) {
	m, err := pki.InitMaterial(t.TempDir()+"/m", pki.InitOptions{ClusterID: cluster})
	if err != nil {
		t.Fatal(err)
	}
	own, err := m.MintBootstrap(pki.BootstrapClaims{Provider: "aws"})
	if err != nil {
		t.Fatal(err)
	}
	for _, token := range []string{own, "", "a.b.c", "a", strings.Repeat("A", 2*MaxToken), "..", "e30.e30.e30"} {
		if Foreign(token) {
			t.Errorf("%.40q is seen as another issuer's", token)
		}
	}
}

func FuzzVerify(f *testing.F) {
	s := newSigner(f)
	is := trusting(f, Config{Issuer: ci, Keys: s.source(), Providers: []api.ProviderID{"aws"}})
	good := s.sign("ec", jose.ES256, "", claims())
	f.Add(good)
	f.Add(s.sign("rsa", jose.RS256, "JWT", with(map[string]any{"provider": "gcp"})))
	f.Add("e30.e30.")
	f.Fuzz(func(t *testing.T, token string) {
		Foreign(token)
		got, err := is.Verify(t.Context(), token, "aws", now())
		if err != nil && api.KindOf(err) != api.BootstrapTokenInvalid || err == nil && token != good {
			t.Errorf("%+v, %v", got, err)
		}
	})
}
