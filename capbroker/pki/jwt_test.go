package pki

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/grafos/grafos/api"
)

// rawClaims is a good bootstrap token's claims, to be spoiled.
func rawClaims(m *Material) map[string]any {
	return map[string]any{
		"iss": m.ClusterID, "aud": "grafos-bootstrap", "jti": "J1", "v": 1, "provider": "aws", "uses": 1,
		"ca_pin": m.CAPin(), "iat": at().Unix(), "exp": at().Add(15 * time.Minute).Unix(),
	}
}

// compact builds a token by hand with any header and signature.
func compact(tb testing.TB, header, claims any, sign func(signed []byte) []byte) string {
	tb.Helper()
	b64 := base64.RawURLEncoding.EncodeToString
	h, err := json.Marshal(header)
	if err != nil {
		tb.Fatal(err)
	}
	c, err := json.Marshal(claims)
	if err != nil {
		tb.Fatal(err)
	}
	signed := b64(h) + "." + b64(c)
	return signed + "." + b64(sign([]byte(signed)))
}

func (m *Material) rawSign(b []byte) []byte { return ed25519.Sign(m.jwtKey, b) }

func goodHeader() map[string]any {
	return map[string]any{"alg": "EdDSA", "typ": "grafos-bootstrap+jwt"}
}

func TestHandMadeTokenIsTaken(t *testing.T) {
	m := newTestMaterial(t, "g-1")
	token := compact(t, goodHeader(), rawClaims(m), m.rawSign)
	if _, err := m.VerifyBootstrap(token, at()); err != nil {
		t.Fatalf("the tests below start from a token that is refused: %v", err)
	}
}

// Whatever the header says, only EdDSA with the cluster's own key is taken.
func TestAlgorithmConfusion(t *testing.T) {
	m := newTestMaterial(t, "g-1")
	pub, ok := m.jwtKey.Public().(ed25519.PublicKey)
	if !ok {
		t.Fatal("no Ed25519 key")
	}
	_, evil, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	hmacWithPublicKey := func(alg jose.SignatureAlgorithm) string {
		s, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: []byte(append(pub, pub...))}, (&jose.SignerOptions{}).WithType("grafos-bootstrap+jwt"))
		if err != nil {
			t.Fatal(err)
		}
		c, err := json.Marshal(rawClaims(m))
		if err != nil {
			t.Fatal(err)
		}
		sig, err := s.Sign(c)
		if err != nil {
			t.Fatal(err)
		}
		token, err := sig.CompactSerialize()
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	signedBy := func(alg jose.SignatureAlgorithm, key any) string {
		s, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: key}, (&jose.SignerOptions{EmbedJWK: true}).WithType("grafos-bootstrap+jwt"))
		if err != nil {
			t.Fatal(err)
		}
		c, err := json.Marshal(rawClaims(m))
		if err != nil {
			t.Fatal(err)
		}
		sig, err := s.Sign(c)
		if err != nil {
			t.Fatal(err)
		}
		token, err := sig.CompactSerialize()
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	rs, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	header := func(alg string) map[string]any { h := goodHeader(); h["alg"] = alg; return h }
	nothing := func([]byte) []byte { return nil }
	for name, c := range map[string]struct{ token, says string }{
		"none":                  {compact(t, header("none"), rawClaims(m), nothing), `algorithm "none"`},
		"None":                  {compact(t, header("None"), rawClaims(m), nothing), `algorithm "None"`},
		"no algorithm":          {compact(t, map[string]any{"typ": "grafos-bootstrap+jwt"}, rawClaims(m), m.rawSign), `algorithm ""`},
		"EdDSA misspelt":        {compact(t, header("EDDSA"), rawClaims(m), m.rawSign), `algorithm "EDDSA"`},
		"EdDSA, no signature":   {compact(t, goodHeader(), rawClaims(m), nothing), "does not verify"},
		"HS256, our public key": {hmacWithPublicKey(jose.HS256), `algorithm "HS256"`},
		"HS512, our public key": {hmacWithPublicKey(jose.HS512), `algorithm "HS512"`},
		"ES256":                 {signedBy(jose.ES256, ec), `algorithm "ES256"`},
		"RS256":                 {signedBy(jose.RS256, rs), `algorithm "RS256"`},
		"PS256":                 {signedBy(jose.PS256, rs), `algorithm "PS256"`},
		"their key embedded":    {signedBy(jose.EdDSA, evil), "does not verify"},
		"unknown critical": {
			compact(t, map[string]any{"alg": "EdDSA", "typ": "grafos-bootstrap+jwt", "crit": []string{"x"}, "x": 1}, rawClaims(m), m.rawSign),
			"unsupported critical header",
		},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := m.VerifyBootstrap(c.token, at())
			wantRefusal(t, err, api.BootstrapTokenInvalid, c.says)
		})
	}
}

func TestTokenShapesRefused(t *testing.T) {
	m := newTestMaterial(t, "g-1")
	spoiled := func(key string, value any) string {
		c := rawClaims(m)
		if value == nil {
			delete(c, key)
		} else {
			c[key] = value
		}
		return compact(t, goodHeader(), c, m.rawSign)
	}
	typ := func(typ any) string {
		h := goodHeader()
		h["typ"] = typ
		return compact(t, h, rawClaims(m), m.rawSign)
	}
	b64 := base64.RawURLEncoding.EncodeToString
	twice := b64([]byte(`{"alg":"EdDSA","typ":"grafos-bootstrap+jwt"}`)) + "." + b64([]byte(`{"v":1,"v":1}`))
	for name, c := range map[string]struct{ token, says string }{
		"empty":                {"", "is empty"},
		"garbage":              {"garbage", "1 parts"},
		"oversized":            {strings.Repeat("a", MaxToken+1), "4097 bytes long: at most 4096"},
		"JSON serialisation":   {`{"payload":"e30","signatures":[]}`, "parts"},
		"four parts":           {"a.b.c.d", "4 parts"},
		"padding":              {"YQ==.YQ.YQ", "part 1 is not base64url"},
		"line break":           {"YQ.YQ\n.YQ", "part 2 has a line break"},
		"header no JSON":       {"YQ.YQ.YQ", "cannot be read"},
		"duplicate claim":      {twice + "." + b64(m.rawSign([]byte(twice))), "claims of the bootstrap token cannot be read"},
		"type of a login":      {typ("grafos-login+jwt"), "is not a bootstrap token"},
		"type JWT":             {typ("JWT"), "is not a bootstrap token"},
		"type number":          {typ(7), "is not a bootstrap token"},
		"audience of a login":  {spoiled("aud", "grafos-login"), `audience of the bootstrap token is "grafos-login"`},
		"two audiences":        {spoiled("aud", []string{"grafos-bootstrap", "grafos-login"}), "audience"},
		"no audience":          {spoiled("aud", nil), "audience"},
		"other cluster":        {spoiled("iss", "g-2"), `of cluster "g-2", this is cluster "g-1"`},
		"no cluster":           {spoiled("iss", nil), `of cluster ""`},
		"version 2":            {spoiled("v", 2), "version 2"},
		"no version":           {spoiled("v", nil), "version 0"},
		"no id":                {spoiled("jti", nil), "id of the bootstrap token is 0 bytes"},
		"long id":              {spoiled("jti", strings.Repeat("x", 64)), "64 bytes"},
		"no end":               {spoiled("exp", nil), "when it ends"},
		"no beginning":         {spoiled("iat", nil), "when it was issued"},
		"end is text":          {spoiled("exp", "tomorrow"), "cannot be read"},
		"no provider":          {spoiled("provider", nil), "provider is empty"},
		"bad provider":         {spoiled("provider", "a/b"), "provider"},
		"bad cell":             {spoiled("cell_id", "A"), "cell id"},
		"no uses":              {spoiled("uses", nil), "uses is 0"},
		"negative uses":        {spoiled("uses", -1), "uses is -1"},
		"many uses":            {spoiled("uses", MaxBootstrapUses+1), "uses is 1001"},
		"lives too long":       {spoiled("exp", at().Add(MaxBootstrapTTL+time.Second).Unix()), "from 1s to"},
		"other pin":            {spoiled("ca_pin", "sha256:"+strings.Repeat("a", 64)), "pins CA"},
		"no pin":               {spoiled("ca_pin", nil), `pins CA ""`},
		"issued in 6 min":      {spoiled("iat", at().Add(6*time.Minute).Unix()), "issued 6m0s in the future"},
		"ended just now":       {spoiled("exp", at().Unix()), "expired 0s ago"},
		"ended 3m12s ago":      {compact(t, goodHeader(), aged(m, 192*time.Second), m.rawSign), "bootstrap token expired 3m12s ago"},
		"ended at the world's": {spoiled("exp", -1<<60), "expired"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := m.VerifyBootstrap(c.token, at())
			wantRefusal(t, err, api.BootstrapTokenInvalid, c.says)
			if got != (BootstrapClaims{}) {
				t.Errorf("got %+v beside the error", got)
			}
		})
	}
}

// aged is the claims of a token that ended a while ago.
func aged(m *Material, ago time.Duration) map[string]any {
	c := rawClaims(m)
	c["iat"], c["exp"] = at().Add(-ago-time.Hour).Unix(), at().Add(-ago).Unix()
	return c
}

// mutations yields every token that differs from it in one character: replaced by any of
// the alphabet, by a few outside it, taken away, or doubled.
func mutations(token, alphabet string, yield func(string)) int {
	n := 0
	try := func(s string) {
		if s != token {
			n++
			yield(s)
		}
	}
	for i := range len(token) {
		for _, c := range alphabet {
			try(token[:i] + string(c) + token[i+1:])
		}
		try(token[:i] + token[i+1:])
		try(token[:i+1] + token[i:])
		try(token[:i] + "\n" + token[i:])
	}
	try(token + "=")
	return n
}

const tokenAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.=+/ \n\r\x00é"

func TestEveryMutationIsRefused(t *testing.T) {
	m := newTestMaterial(t, "g-1")
	token, err := m.MintBootstrap(BootstrapClaims{Provider: "aws", CellID: "aws-1", IssuedAt: at()})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := m.VerifyBootstrap(token, at()); err != nil {
		t.Fatal(err)
	}
	// The signature's spare bits are where a lenient decoder takes another spelling.
	alphabet := tokenAlphabet
	if testing.Short() {
		alphabet = "ABQRghwx0_.\n"
	}
	n := mutations(token, alphabet, func(s string) {
		if _, err := m.VerifyBootstrap(s, at()); api.KindOf(err) != api.BootstrapTokenInvalid {
			t.Errorf("took a mutation: %v\n%q", err, s)
		}
	})
	t.Logf("%d mutations of %d bytes refused", n, len(token))
}
