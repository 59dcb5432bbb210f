package capbroker

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"aidanwoods.dev/go-paseto"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/grafos/grafos/api"
)

// testClock is a clock that a test moves.
type testClock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *testClock { return &testClock{now: time.Date(2026, 3, 4, 5, 6, 7, 89, time.UTC)} }

func (c *testClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *testClock) Add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

func newBroker(tb testing.TB, cluster string, cell api.CellID, c *testClock) *Broker {
	tb.Helper()
	b, err := New(Config{ClusterID: cluster, Cell: cell, Now: c.Now})
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

func memLease() api.Lease {
	return api.Lease{
		ID: "l-1", Tenant: "acme", Provider: "aws", CellID: "aws-1", Kind: api.KindMem, Use: api.UseRegion,
		Amount: 1 << 20, State: api.LeaseActive, Generation: 3, Epoch: 42, TTLMs: 60_000,
	}
}

func mustMint(tb testing.TB, b *Broker, l api.Lease) string {
	tb.Helper()
	token, err := b.Mint(l, time.Minute)
	if err != nil {
		tb.Fatal(err)
	}
	return token
}

// wantRefusal fails unless err has the kind and says every part.
func wantRefusal(tb testing.TB, err error, kind api.Kind, says ...string) {
	tb.Helper()
	if err == nil {
		tb.Fatalf("got no error, want %s saying %q", kind, says)
	}
	if got := api.KindOf(err); got != kind {
		tb.Errorf("got kind %s of %q, want %s", got, err, kind)
	}
	for _, s := range says {
		if !strings.Contains(err.Error(), s) {
			tb.Errorf("error %q does not say %q", err, s)
		}
	}
}

func TestMintVerify(t *testing.T) {
	c := newClock()
	b := newBroker(t, "g-1", "aws-1", c)
	l := memLease()
	l.RunID = "r-1"
	b.SetEpoch(7)
	token := mustMint(t, b, l)
	got, err := b.Verify(token)
	if err != nil {
		t.Fatal(err)
	}
	want := Claims{
		LeaseID: "l-1", Run: "r-1", Generation: 3, Epoch: 42, CellEpoch: 7, Tenant: "acme", Kind: api.KindMem, Amount: 1 << 20,
		Issuer: "aws-1", Audience: "aws-1/data",
		IssuedAt: c.Now(), NotBefore: c.Now(), ExpiresAt: c.Now().Add(time.Minute), Ops: []string{"read", "write"},
	}
	if diff := cmp.Diff(want, got.Claims); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
	if !strings.HasPrefix(token, "v4.public.") || len(token) > 800 {
		t.Errorf("token of %d bytes: %s", len(token), token)
	}
	if err := got.check(l, OpWrite); err != nil {
		t.Errorf("Check: %v", err)
	}
	if again := mustMint(t, b, l); again == token {
		t.Error("two tokens of one lease are the same")
	}
}

func TestTokenLife(t *testing.T) {
	c := newClock()
	b := newBroker(t, "g-1", "aws-1", c)
	for left, want := range map[time.Duration]time.Duration{
		time.Nanosecond: time.Nanosecond, time.Second: time.Second, 299 * time.Second: 299 * time.Second,
		300 * time.Second: 300 * time.Second, 301 * time.Second: 300 * time.Second, 24 * time.Hour: 300 * time.Second,
	} {
		token, err := b.Mint(memLease(), left)
		if err != nil {
			t.Fatal(err)
		}
		got, err := b.Verify(token)
		if err != nil {
			t.Fatal(err)
		}
		if life := got.ExpiresAt.Sub(c.Now()); life != want {
			t.Errorf("%s left: lives %s; want %s", left, life, want)
		}
	}
}

// L7: a token never outlives its lease, and never api.MaxTokenLife.
func TestTokenEndsWithItsLease(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := newClock()
		b, err := New(Config{ClusterID: "g-1", Cell: "aws-1", Now: c.Now})
		if err != nil {
			t.Fatal(err)
		}
		left := time.Duration(rapid.Int64Range(1, int64(25*time.Hour)).Draw(t, "left"))
		token, err := b.Mint(memLease(), left)
		if err != nil {
			t.Fatal(err)
		}
		start := c.Now()
		got, err := b.Verify(token)
		if err != nil {
			t.Fatal(err)
		}
		if !got.ExpiresAt.Equal(start.Add(min(left, 300*time.Second))) {
			t.Fatalf("ends at %s", got.ExpiresAt)
		}
		c.Add(min(left, api.MaxTokenLife) - 1)
		if _, err := b.Verify(token); err != nil {
			t.Fatalf("in its last nanosecond: %v", err)
		}
		c.Add(1)
		if _, err := b.Verify(token); api.KindOf(err) != api.TokenExpired {
			t.Fatalf("at its end: %v", err)
		}
	})
}

func TestMintRefuses(t *testing.T) {
	b := newBroker(t, "g-1", "aws-1", newClock())
	for name, c := range map[string]struct {
		change func(*api.Lease)
		left   time.Duration
		kind   api.Kind
		says   string
	}{
		"no time left":   {func(*api.Lease) {}, 0, api.LeaseExpiredKind, "ended 0s ago"},
		"ended":          {func(*api.Lease) {}, -1500 * time.Millisecond, api.LeaseExpiredKind, "ended 1.5s ago"},
		"another cell's": {func(l *api.Lease) { l.CellID = "aws-2" }, time.Minute, api.WrongAudience, "aws-2"},
		"no id":          {func(l *api.Lease) { l.ID = "" }, time.Minute, api.InvalidArgument, "not whole"},
		"no tenant":      {func(l *api.Lease) { l.Tenant = "" }, time.Minute, api.InvalidArgument, "not whole"},
		"no generation":  {func(l *api.Lease) { l.Generation = 0 }, time.Minute, api.InvalidArgument, "not whole"},
		"no amount":      {func(l *api.Lease) { l.Amount = 0 }, time.Minute, api.InvalidArgument, "not whole"},
		"oversized id":   {func(l *api.Lease) { l.ID = api.LeaseID(strings.Repeat("x", MaxToken)) }, time.Minute, api.TooLarge, "at most 2048"},
		"expired":        {func(l *api.Lease) { l.State = api.LeaseExpired }, time.Minute, api.LeaseExpiredKind, "expired"},
		"fenced":         {func(l *api.Lease) { l.State = api.LeaseFenced }, time.Minute, api.LeaseFencedKind, "fenced"},
		"torn down":      {func(l *api.Lease) { l.State = api.LeaseTornDown }, time.Minute, api.LeaseRevoked, "torndown"},
		"no state":       {func(l *api.Lease) { l.State = "" }, time.Minute, api.LeaseRevoked, "state"},
	} {
		t.Run(name, func(t *testing.T) {
			l := memLease()
			c.change(&l)
			token, err := b.Mint(l, c.left)
			wantRefusal(t, err, c.kind, c.says)
			if token != "" {
				t.Error("got a token beside the error")
			}
		})
	}
}

func TestNewRefuses(t *testing.T) {
	for _, c := range []Config{{}, {ClusterID: "g-1"}, {Cell: "aws-1"}, {ClusterID: "g/1", Cell: "c"}, {ClusterID: "g", Cell: "A"}} {
		_, err := New(c)
		wantRefusal(t, err, api.InvalidArgument)
	}
}

func TestOpsByKind(t *testing.T) {
	b := newBroker(t, "g-1", "aws-1", newClock())
	for _, c := range []struct {
		kind api.LeaseKind
		use  api.Use
		ops  int
	}{
		{api.KindMem, api.UseRegion, 2},
		{api.KindMem, "", 2},
		{api.KindMem, api.UseLinear, 0},
		{api.KindBlock, "", 2},
		{api.KindCPU, "", 0},
		{api.KindNet, "", 0},
		{api.KindGPU, "", 0},
		{"tpu", "", 0},
	} {
		l := memLease()
		l.Kind, l.Use = c.kind, c.use
		got, err := b.Verify(mustMint(t, b, l))
		if err != nil {
			t.Fatal(err)
		}
		if len(got.Ops) != c.ops {
			t.Errorf("%s %s: ops %v", c.kind, c.use, got.Ops)
		}
	}
}

// sealed signs any claims as b would.
func sealed(tb testing.TB, b *Broker, claims map[string]any, footer string) string {
	tb.Helper()
	data, err := json.Marshal(claims)
	if err != nil {
		tb.Fatal(err)
	}
	tok, err := paseto.NewTokenFromClaimsJSON(data, []byte(footer))
	if err != nil {
		tb.Fatal(err)
	}
	return tok.V4Sign(b.key(), b.implicit)
}

func rawClaims(c *testClock) map[string]any {
	return map[string]any{
		"v": 2, "jti": "J", "iss": "aws-1", "aud": "aws-1/data", "sub": "acme", "iat": c.Now(), "nbf": c.Now(), "exp": c.Now().Add(time.Minute),
		"lease": "l-1", "generation": 3, "epoch": 42, "cell_epoch": 0, "kind": "mem", "amount": 1, "caveats": map[string]any{"ops": []string{"read"}},
	}
}

func TestVerifyRefuses(t *testing.T) {
	c := newClock()
	b := newBroker(t, "g-1", "aws-1", c)
	good := mustMint(t, b, memLease())
	parts := strings.Split(good, ".")
	spoiled := func(key string, value any) string {
		claims := rawClaims(c)
		if value == nil {
			delete(claims, key)
		} else {
			claims[key] = value
		}
		return sealed(t, b, claims, b.footer())
	}
	if _, err := b.Verify(spoiled("jti", "other")); err != nil {
		t.Fatalf("the cases below start from a token that is refused: %v", err)
	}
	restarted := newBroker(t, "g-1", "aws-1", c)
	elsewhere := newBroker(t, "g-1", "aws-2", c)
	foreign := newBroker(t, "g-2", "aws-1", c)
	stolen := newBroker(t, "g-1", "aws-1", c) // our key, another cell: what the implicit assertion is for
	stolen.signer, stolen.public, stolen.kid = b.signer, b.public, b.kid
	stolen.implicit = []byte("g-1/aws-2")
	stolen.frame = newFrame([]byte(b.footer()), stolen.implicit)
	l2 := memLease()
	l2.CellID = "aws-2"
	local := paseto.NewToken().V4Encrypt(paseto.NewV4SymmetricKey(), nil)
	for name, tc := range map[string]struct {
		token string
		kind  api.Kind
		says  string
	}{
		"empty":                 {"", api.BadSignature, "not a capability token"},
		"garbage":               {"garbage", api.BadSignature, "not a capability token"},
		"oversized":             {strings.Repeat("a", MaxToken+1), api.TooLarge, "2049 bytes long: at most 2048"},
		"a JWT":                 {"eyJhbGciOiJub25lIn0.e30.", api.BadSignature, "not a capability token"},
		"v4.local":              {local, api.BadSignature, "not a capability token"},
		"v3.public":             {"v3" + good[2:], api.BadSignature, "not a capability token"},
		"v2.public":             {"v2" + good[2:], api.BadSignature, "not a capability token"},
		"no signature":          {"v4.public." + base64.RawURLEncoding.EncodeToString([]byte(`{}`)), api.BadSignature, "not a capability token"},
		"zero signature":        {"v4.public." + base64.RawURLEncoding.EncodeToString(make([]byte, 80)) + "." + parts[3], api.BadSignature, "does not verify"},
		"no footer":             {strings.Join(parts[:3], "."), api.BadSignature, "names no key"},
		"other footer":          {sealed(t, b, rawClaims(c), `{"kid":"other"}`), api.BadSignature, `key "other"`},
		"footer swapped":        {strings.Join(parts[:3], ".") + "." + base64.RawURLEncoding.EncodeToString([]byte(`{"kid":"x"}`)), api.BadSignature, `key "x"`},
		"footer garbage":        {strings.Join(parts[:3], ".") + ".YQ", api.BadSignature, "names no key"},
		"earlier process":       {mustMint(t, restarted, memLease()), api.BadSignature, "this cell's agent has key"},
		"another cell":          {mustMint(t, elsewhere, l2), api.WrongAudience, `for cell "aws-2", this is the data plane of cell aws-1`},
		"another cluster":       {mustMint(t, foreign, memLease()), api.BadSignature, "this cell's agent has key"},
		"our key elsewhere":     {mustMint(t, stolen, memLease()), api.BadSignature, "bad signature"},
		"audience":              {spoiled("aud", "aws-2/data"), api.WrongAudience, "aws-2"},
		"no data plane":         {spoiled("aud", "aws-1"), api.WrongAudience, `for cell "aws-1"`},
		"no audience":           {spoiled("aud", nil), api.WrongAudience, `for cell ""`},
		"issuer":                {spoiled("iss", "aws-2"), api.WrongAudience, "aws-1"},
		"no issuer":             {spoiled("iss", nil), api.WrongAudience, "aws-1"},
		"version 1":             {spoiled("v", 1), api.BadSignature, "version is 1"},
		"version 3":             {spoiled("v", 3), api.BadSignature, "version is 3"},
		"no beginning":          {spoiled("nbf", nil), api.BadSignature, "nbf"},
		"another registration":  {spoiled("cell_epoch", 1), api.StaleEpoch, "registration 1 of cell aws-1, which is in registration 0"},
		"a holder without form": {spoiled("cnf", "me"), api.BadSignature, "cnf"},
		"unknown caveat":        {spoiled("caveats", map[string]any{"on_sundays": true}), api.CaveatFailed, "on_sundays"},
		"unknown operation":     {spoiled("caveats", map[string]any{"ops": []string{"read", "erase"}}), api.CaveatFailed, "erase"},
		"caveat of a link":      {spoiled("caveats", map[string]any{"max_bytes": 1}), api.BadSignature, "other than ops"},
		"no version":            {spoiled("v", nil), api.BadSignature, "version is 0"},
		"unknown claim":         {spoiled("only_on_sundays", true), api.BadSignature, "only_on_sundays"},
		"negative epoch":        {spoiled("epoch", -1), api.BadSignature, "decode claims"},
		"no lease":              {spoiled("lease", nil), api.BadSignature, "lease, iat, nbf or exp"},
		"no end":                {spoiled("exp", nil), api.BadSignature, "lease, iat, nbf or exp"},
		"lives too long":        {spoiled("exp", c.Now().Add(301*time.Second)), api.BadSignature, "it lives 5m1s"},
		"ends before it begins": {spoiled("exp", c.Now().Add(-time.Second)), api.BadSignature, "it lives -1s"},
		"from the future":       {spoiled("nbf", c.Now().Add(10*time.Second)), api.TokenExpired, "issued 10s in the future"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := b.Verify(tc.token)
			wantRefusal(t, err, tc.kind, tc.says)
			if got != nil {
				t.Errorf("got claims beside the error: %+v", got.Claims)
			}
		})
	}
}

func TestVerifyExpired(t *testing.T) {
	c := newClock()
	b := newBroker(t, "g-1", "aws-1", c)
	token := mustMint(t, b, memLease())
	c.Add(61*time.Second + 500*time.Millisecond)
	_, err := b.Verify(token)
	wantRefusal(t, err, api.TokenExpired, "expired 1.5s ago")
	p, _ := api.AsError(err)
	if !strings.Contains(p.Hint, "lease token l-1") {
		t.Errorf("hint %q", p.Hint)
	}
	c.Add(-2 * time.Minute) // a clock set back lengthens nothing
	_, err = b.Verify(token)
	wantRefusal(t, err, api.TokenExpired, "set back")
}

// The public half verifies what the broker mints, and is all that leaves it.
func TestPublicKey(t *testing.T) {
	c := newClock()
	b := newBroker(t, "g-1", "aws-1", c)
	raw, err := hex.DecodeString(b.PublicKey())
	if err != nil || len(raw) != ed25519.PublicKeySize {
		t.Fatalf("public key %q: %v", b.PublicKey(), err)
	}
	pub, err := paseto.NewV4AsymmetricPublicKeyFromHex(b.PublicKey())
	if err != nil {
		t.Fatal(err)
	}
	token := mustMint(t, b, memLease())
	if _, err := paseto.NewParserWithoutExpiryCheck().ParseV4Public(pub, token, []byte("g-1/aws-1")); err != nil {
		t.Error(err)
	}
	if newBroker(t, "g-1", "aws-1", c).PublicKey() == b.PublicKey() {
		t.Error("two brokers have one key")
	}
}

func TestBrokerPrintsNoKey(t *testing.T) {
	b := newBroker(t, "g-1", "aws-1", newClock())
	seed := b.key().ExportSeedHex()
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%q"} {
		if got := fmt.Sprintf(verb, b); strings.Contains(got, seed) || len(got) > 120 {
			t.Errorf("%s prints %s", verb, got)
		}
	}
	data, err := json.Marshal(map[string]any{"broker": b})
	if err != nil || string(data) != `{"broker":{}}` {
		t.Errorf("JSON %s, %v", data, err)
	}
}

func TestDefaultClockRuns(t *testing.T) {
	b, err := New(Config{ClusterID: "g-1", Cell: "aws-1"})
	if err != nil {
		t.Fatal(err)
	}
	got, err := b.Verify(mustMint(t, b, memLease()))
	if err != nil {
		t.Fatal(err)
	}
	if off := time.Since(got.IssuedAt); off < -time.Second || off > time.Minute {
		t.Errorf("issued %s ago", off)
	}
}

func TestConcurrentUse(t *testing.T) {
	b := newBroker(t, "g-1", "aws-1", newClock())
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 20 {
				token, err := b.Mint(memLease(), time.Minute)
				if err == nil {
					_, err = b.Verify(token)
				}
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
}

// Every token that differs from a good one in one character is refused.
func TestEveryMutationIsRefused(t *testing.T) {
	b := newBroker(t, "g-1", "aws-1", newClock())
	token := mustMint(t, b, memLease())
	n := 0
	try := func(s string) {
		if s == token {
			return
		}
		n++
		if _, err := b.Verify(s); err == nil {
			t.Errorf("took %q", s)
		} else if k := api.KindOf(err); k != api.BadSignature && k != api.WrongAudience {
			t.Errorf("kind %s: %v", k, err)
		}
	}
	step := 1
	if testing.Short() {
		step = 11
	}
	for i := range len(token) {
		for c := i % step; c < 256; c += step {
			try(token[:i] + string([]byte{byte(c)}) + token[i+1:])
		}
		try(token[:i] + token[i+1:])
		try(token[:i+1] + token[i:])
		try(token[:i] + "\n" + token[i:])
		try(token[:i])
	}
	try(token + "=")
	try(token + ".")
	try(token + "\n")
	t.Logf("%d mutations of %d bytes refused", n, len(token))
}

func FuzzVerify(f *testing.F) {
	c := newClock()
	b := newBroker(f, "g-1", "aws-1", c)
	f.Add(mustMint(f, b, memLease()))
	f.Add(sealed(f, b, rawClaims(c), ""))
	f.Add("v4.public..")
	f.Fuzz(func(t *testing.T, s string) {
		got, err := b.Verify(s)
		if err == nil {
			if got.Audience != "aws-1/data" || got.ExpiresAt.Sub(got.IssuedAt) > api.MaxTokenLife {
				t.Fatalf("took %q: %+v", s, got)
			}
			return
		}
		kinds := []api.Kind{api.BadSignature, api.WrongAudience, api.TokenExpired, api.TooLarge, api.CaveatFailed, api.StaleEpoch}
		if k := api.KindOf(err); !slices.Contains(kinds, k) {
			t.Fatalf("kind %s: %v", k, err)
		}
	})
}

// TestGivenKey: a broker takes a key that it is given, and no half of one.
func TestGivenKey(t *testing.T) {
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	c := Config{ClusterID: "g-test", Cell: "aws-1", Key: key}
	one, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	if want := hex.EncodeToString(key[ed25519.SeedSize:]); one.PublicKey() != want {
		t.Errorf("the key is %s, want %s", one.PublicKey(), want)
	}
	c.Key = key[:31]
	if _, err := New(c); err == nil {
		t.Error("a key of 31 bytes was taken")
	}
}
