package pki

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/grafos/grafos/api"
)

func TestMintBootstrapFillsIn(t *testing.T) {
	m := newTestMaterial(t, "g-1")
	before := time.Now().Truncate(time.Second)
	token, err := m.MintBootstrap(BootstrapClaims{Provider: "aws"})
	if err != nil {
		t.Fatal(err)
	}
	got, err := m.VerifyBootstrap(token, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if len(got.ID) != 26 || got.ClusterID != "g-1" || got.CAPin != m.CAPin() || got.Uses != 1 || got.CellID != "" {
		t.Errorf("got %+v", got)
	}
	if got.IssuedAt.Before(before) || got.ExpiresAt.Sub(got.IssuedAt) != BootstrapTTL {
		t.Errorf("from %s to %s", got.IssuedAt, got.ExpiresAt)
	}
	peeked, err := PeekBootstrap(token)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(got, peeked); diff != "" {
		t.Errorf("peeked -verified +peeked\n%s", diff)
	}
}

func TestBootstrapRoundTrip(t *testing.T) {
	m := newTestMaterial(t, "g-1")
	rapid.Check(t, func(t *rapid.T) {
		want := BootstrapClaims{
			ID: rapid.StringMatching(`[A-Z2-7]{1,26}`).Draw(t, "id"), ClusterID: "g-1", CAPin: m.CAPin(),
			Provider: api.ProviderID(genName().Draw(t, "provider")), Uses: rapid.IntRange(1, MaxBootstrapUses).Draw(t, "uses"),
			IssuedAt: time.Unix(rapid.Int64Range(1e9, 1e10).Draw(t, "iat"), 0).UTC(),
		}
		if rapid.Bool().Draw(t, "for one cell") {
			want.CellID = api.CellID(genName().Draw(t, "cell"))
		}
		ttl := time.Duration(rapid.Int64Range(1, int64(MaxBootstrapTTL/time.Second)).Draw(t, "ttl")) * time.Second
		want.ExpiresAt = want.IssuedAt.Add(ttl)
		token, err := m.MintBootstrap(want)
		if err != nil {
			t.Fatal(err)
		}
		// Taken from its beginning (and ClockTolerance before) to its last instant, not after.
		for _, now := range []time.Time{want.IssuedAt.Add(-ClockTolerance), want.IssuedAt, want.ExpiresAt.Add(-1)} {
			if got, err := m.VerifyBootstrap(token, now); err != nil || got != want {
				t.Fatalf("at %s: got %+v, %v; want %+v", now, got, err, want)
			}
		}
		for _, now := range []time.Time{want.IssuedAt.Add(-ClockTolerance - 1), want.ExpiresAt, want.ExpiresAt.Add(time.Hour)} {
			if _, err := m.VerifyBootstrap(token, now); api.KindOf(err) != api.BootstrapTokenInvalid {
				t.Fatalf("at %s: %v", now, err)
			}
		}
	})
}

func TestMintBootstrapRefuses(t *testing.T) {
	m := newTestMaterial(t, "g-1")
	for name, c := range map[string]struct {
		claims BootstrapClaims
		kind   api.Kind
		says   string
	}{
		"no provider":   {BootstrapClaims{}, api.InvalidArgument, "provider is empty"},
		"bad cell":      {BootstrapClaims{Provider: "aws", CellID: "A"}, api.InvalidArgument, "cell id"},
		"negative uses": {BootstrapClaims{Provider: "aws", Uses: -1}, api.InvalidArgument, "uses is -1"},
		"too many uses": {BootstrapClaims{Provider: "aws", Uses: 1001}, api.InvalidArgument, "uses is 1001"},
		"ended":         {BootstrapClaims{Provider: "aws", ExpiresAt: at(), IssuedAt: at()}, api.InvalidArgument, "ttl is 0s"},
		"too long":      {BootstrapClaims{Provider: "aws", ExpiresAt: at().Add(8 * 24 * time.Hour), IssuedAt: at()}, api.InvalidArgument, "ttl is 192h"},
		"long id":       {BootstrapClaims{Provider: "aws", ID: strings.Repeat("x", 64)}, api.InvalidArgument, "64 bytes"},
		"other cluster": {BootstrapClaims{Provider: "aws", ClusterID: "g-2"}, api.IdentityMismatch, "g-2"},
		"other pin":     {BootstrapClaims{Provider: "aws", CAPin: "sha256:x"}, api.IdentityMismatch, "sha256:x"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := m.MintBootstrap(c.claims)
			wantRefusal(t, err, c.kind, c.says)
		})
	}
}

func TestBootstrapOfAnotherCluster(t *testing.T) {
	m, other, twin := newTestMaterial(t, "g-1"), newTestMaterial(t, "g-2"), newTestMaterial(t, "g-1")
	for says, from := range map[string]*Material{`of cluster "g-2", this is cluster "g-1"`: other, "signature of the bootstrap token does not verify": twin} {
		token, err := from.MintBootstrap(BootstrapClaims{Provider: "aws"})
		if err != nil {
			t.Fatal(err)
		}
		_, err = m.VerifyBootstrap(token, time.Now())
		wantRefusal(t, err, api.BootstrapTokenInvalid, says)
	}
}

func TestPeekBootstrapRefuses(t *testing.T) {
	m := newTestMaterial(t, "g-1")
	spoiled := func(key string, value any) string {
		c := rawClaims(m)
		c[key] = value
		return compact(t, goodHeader(), c, m.rawSign)
	}
	login, err := m.MintLogin("root", api.RoleOperator, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ token, says string }{
		"empty":        {"", "empty"},
		"oversized":    {strings.Repeat("a", 5000), "5000 bytes"},
		"a login":      {login, "is not a bootstrap token"},
		"bad pin":      {spoiled("ca_pin", "md5:1"), "64 hex digits"},
		"bad cluster":  {spoiled("iss", "https://issuer.example"), "cluster id"},
		"version 2":    {spoiled("v", 2), "version 2"},
		"bad provider": {spoiled("provider", "a b"), "provider"},
		"not claims":   {compact(t, goodHeader(), []int{1}, m.rawSign), "cannot be read"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := PeekBootstrap(c.token)
			wantRefusal(t, err, api.BootstrapTokenInvalid, c.says)
		})
	}
	// It proves nothing: a token that ended, with a signature of anybody's.
	token := compact(t, goodHeader(), aged(m, time.Hour), func([]byte) []byte { return make([]byte, 64) })
	if got, err := PeekBootstrap(token); err != nil || got.CAPin != m.CAPin() {
		t.Errorf("PeekBootstrap: %+v, %v", got, err)
	}
}

func FuzzVerifyBootstrap(f *testing.F) {
	m := newTestMaterial(f, "g-1")
	token, err := m.MintBootstrap(BootstrapClaims{Provider: "aws", IssuedAt: at()})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(token)
	f.Add(compact(f, goodHeader(), rawClaims(m), m.rawSign))
	f.Add("e30.e30.")
	f.Fuzz(func(t *testing.T, s string) {
		got, err := m.VerifyBootstrap(s, at())
		if err == nil {
			// Nobody but the cluster can make one; seeds are what it made itself.
			if got.ClusterID != "g-1" || got.check() != nil {
				t.Fatalf("took %q: %+v", s, got)
			}
			return
		}
		if api.KindOf(err) != api.BootstrapTokenInvalid {
			t.Fatalf("kind %s: %v", api.KindOf(err), err)
		}
	})
}

func FuzzPeekBootstrap(f *testing.F) {
	m := newTestMaterial(f, "g-1")
	f.Add(compact(f, goodHeader(), rawClaims(m), m.rawSign))
	f.Add("eyJhbGciOiJub25lIn0.e30.")
	f.Fuzz(func(t *testing.T, s string) {
		got, err := PeekBootstrap(s)
		if err != nil {
			if api.KindOf(err) != api.BootstrapTokenInvalid {
				t.Fatalf("kind %s: %v", api.KindOf(err), err)
			}
			return
		}
		if got.CAPin != "" && api.CheckDigest(api.Digest(got.CAPin)) != nil {
			t.Fatalf("took pin %q", got.CAPin)
		}
	})
}
