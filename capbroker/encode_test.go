package capbroker

import (
	"encoding/json"
	"testing"
	"time"

	"aidanwoods.dev/go-paseto"
	"pgregory.net/rapid"

	"github.com/grafos/grafos/api"
)

// key is the broker's, as the library has it.
func (b *Broker) key() paseto.V4AsymmetricSecretKey {
	key, err := paseto.NewV4AsymmetricSecretKeyFromEd25519(b.signer.private)
	if err != nil {
		panic(err)
	}
	return key
}

// footer is the broker's, as it stands in what is signed.
func (b *Broker) footer() string {
	text, err := json.Marshal(footer{KeyID: b.kid})
	if err != nil {
		panic(err)
	}
	return string(text)
}

func anyClaims(t *rapid.T) body {
	text := rapid.OneOf(rapid.StringMatching(`[a-z0-9-]{1,40}`), rapid.String(),
		rapid.SampledFrom([]string{"", `a"b`, `a\b`, "<&>", "ü", "\u2028", "\xff", "\x7f", "a\nb"}))
	at := func(name string) time.Time {
		t := time.Unix(rapid.Int64Range(0, 4e9).Draw(t, name), rapid.Int64Range(0, 1e9-1).Draw(t, name+" ns"))
		return t.UTC()
	}
	return body{
		Version: rapid.IntRange(-1, 3).Draw(t, "v"), ID: text.Draw(t, "jti"), Audience: text.Draw(t, "aud"),
		Tenant: api.TenantID(text.Draw(t, "sub")), IssuedAt: at("iat"), ExpiresAt: at("exp"),
		LeaseID: api.LeaseID(text.Draw(t, "lease")), Generation: rapid.Uint64().Draw(t, "generation"),
		Epoch: rapid.Uint64().Draw(t, "epoch"), Kind: api.LeaseKind(text.Draw(t, "kind")), Amount: rapid.Int64().Draw(t, "amount"),
		Issuer: text.Draw(t, "iss"), NotBefore: at("nbf"), CellEpoch: rapid.Uint64().Draw(t, "cell_epoch"),
		Run: api.RunID(text.Draw(t, "run")), Holder: text.Draw(t, "cnf"),
		Caveats: json.RawMessage(rapid.SampledFrom([]string{"", `{"ops":["read","write"]}`}).Draw(t, "caveats")),
	}
}

// TestTokensAreTheLibrarys: the same claims are the same token, to the byte, whoever writes it.
func TestTokensAreTheLibrarys(t *testing.T) {
	b := newBroker(t, "g-1", "aws-1", newClock())
	rapid.Check(t, func(t *rapid.T) {
		claims := anyClaims(t)
		data, err := json.Marshal(claims)
		if err != nil {
			t.Fatal(err)
		}
		token, err := paseto.NewTokenFromClaimsJSON(data, []byte(b.footer()))
		if err != nil {
			t.Fatal(err)
		}
		open := b.frame.open(claims)
		signature := b.signer.signAll([][]byte{open.text})[0]
		if got, want := b.frame.close(open, signature), token.V4Sign(b.key(), b.implicit); got != want {
			t.Fatalf("got %s\nwant %s", got, want)
		}
	})
}

// TestMintAll: each lease has the token or the refusal that it has alone.
func TestMintAll(t *testing.T) {
	b := newBroker(t, "g-1", "aws-1", newClock())
	var leases []api.Lease
	var left []time.Duration
	for i := range 20 {
		l := memLease()
		l.Generation = uint64(i % 5) // none in every fifth
		leases, left = append(leases, l), append(left, time.Duration(i)*time.Minute)
	}
	tokens, errs := b.MintAll(leases, left)
	for i, l := range leases {
		_, alone := b.Mint(l, left[i])
		if api.KindOf(alone) != api.KindOf(errs[i]) || (errs[i] == nil) != (tokens[i] != "") {
			t.Fatalf("lease %d: got %v, alone %v", i, errs[i], alone)
		}
		if errs[i] != nil {
			continue
		}
		got, err := b.Verify(tokens[i])
		if err != nil || got.Generation != l.Generation || got.ExpiresAt.Sub(got.IssuedAt) != min(left[i], api.MaxTokenLife) {
			t.Fatalf("lease %d: %+v, %v", i, got, err)
		}
	}
	if tokens, errs := b.MintAll(nil, nil); len(tokens)+len(errs) != 0 {
		t.Fatal("tokens for nothing")
	}
}

func BenchmarkMint(b *testing.B) {
	broker := newBroker(b, "g-1", "aws-1", newClock())
	l := memLease()
	b.ReportAllocs()
	for b.Loop() {
		mustMint(b, broker, l)
	}
}
