package capbroker

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/capbroker/holder"
)

// newKey makes a holder's key: Ed25519, or with curve P-256, as certificates have them.
func newKey(tb testing.TB, curve bool) *holder.Key {
	tb.Helper()
	if curve {
		private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			tb.Fatal(err)
		}
		key, err := holder.NewKey(private)
		if err != nil {
			tb.Fatal(err)
		}
		return key
	}
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	key, err := holder.NewKey(private)
	if err != nil {
		tb.Fatal(err)
	}
	return key
}

// heldLease is a lease whose tokens are for one key.
func heldLease(key *holder.Key) api.Lease {
	l := memLease()
	l.Holder = key.Thumbprint().String()
	return l
}

func mustVerify(tb testing.TB, b *Broker, token string) *Verified {
	tb.Helper()
	v, err := b.Verify(token)
	if err != nil {
		tb.Fatal(err)
	}
	return v
}

func mustProve(tb testing.TB, key *holder.Key, token string, u Use, nonce string) string {
	tb.Helper()
	proof, err := key.Prove(requestOf(token, u), nonce)
	if err != nil {
		tb.Fatal(err)
	}
	return proof
}

func requestOf(token string, u Use) holder.Request {
	return holder.Request{Op: u.Op, Lease: "l-1", Cell: "aws-1", Token: token, Offset: u.Offset, Length: u.Length, Body: u.Body}
}

// A token that names a holder's key is of use to its holder alone: by its connection, or by a
// proof of the very operation, once.
func TestConfirm(t *testing.T) {
	for _, curve := range []bool{false, true} {
		c := newClock()
		b := newBroker(t, "g-1", "aws-1", c)
		key, thief := newKey(t, curve), newKey(t, curve)
		token := mustMint(t, b, heldLease(key))
		v := mustVerify(t, b, token)
		use := Use{Op: OpWrite, Offset: 10, Length: 5, Body: sha256.Sum256([]byte("hello"))}
		if v.Bound(key.Thumbprint()) || !v.Bound(thief.Thumbprint()) || !v.Bound(holder.Thumbprint{}) {
			t.Fatal("whose token it is is not said")
		}
		own := use
		own.Key = key.Thumbprint()
		if err := v.Confirm(own); err != nil {
			t.Errorf("over the holder's own connection: %v", err)
		}
		nonce := b.Challenge()
		good := mustProve(t, key, token, use, nonce)
		other := mustMint(t, b, heldLease(key))
		for name, tc := range map[string]struct {
			change func(*Use)
			kind   api.Kind
			says   string
		}{
			"no proof":         {func(*Use) {}, api.Unauthenticated, "it was not proved"},
			"thief's link":     {func(u *Use) { u.Key = thief.Thumbprint() }, api.Unauthenticated, "it was not proved"},
			"thief's proof":    {func(u *Use) { u.Proof = mustProve(t, thief, token, use, nonce) }, api.BadSignature, "is for the holder of key"},
			"another offset":   {func(u *Use) { u.Proof, u.Offset = good, 11 }, api.BadSignature, "does not verify"},
			"another length":   {func(u *Use) { u.Proof, u.Length = good, 6 }, api.BadSignature, "does not verify"},
			"another op":       {func(u *Use) { u.Proof, u.Op = good, OpRead }, api.BadSignature, "does not verify"},
			"another body":     {func(u *Use) { u.Proof, u.Body[3] = good, u.Body[3]^1 }, api.BadSignature, "does not verify"},
			"another token":    {func(u *Use) { u.Proof = mustProve(t, key, other, use, nonce) }, api.BadSignature, "does not verify"},
			"another nonce":    {func(u *Use) { u.Proof = strings.Replace(good, nonce, b.Challenge(), 1) }, api.BadSignature, "does not verify"},
			"a foreign nonce":  {func(u *Use) { u.Proof = mustProve(t, key, token, use, newBroker(t, "g-1", "aws-1", c).Challenge()) }, api.Unauthenticated, "none of this cell's"},
			"no nonce":         {func(u *Use) { u.Proof = mustProve(t, key, token, use, "") }, api.Unauthenticated, "none of this cell's"},
			"garbage":          {func(u *Use) { u.Proof = "x" }, api.BadSignature, "form"},
			"a very long one":  {func(u *Use) { u.Proof = strings.Repeat("a", holder.MaxProof+1) }, api.TooLarge, "1025"},
			"another key type": {func(u *Use) { u.Proof = mustProve(t, newKey(t, !curve), token, use, nonce) }, api.BadSignature, "is for the holder"},
		} {
			u := use
			tc.change(&u)
			err := v.Confirm(u)
			wantRefusal(t, err, tc.kind, tc.says)
			if t.Failed() {
				t.Fatalf("case %s", name)
			}
		}
		use.Proof = good
		if err := v.Confirm(use); err != nil {
			t.Fatalf("the holder's own proof: %v", err)
		}
		wantRefusal(t, v.Confirm(use), api.Unauthenticated, "used before")
		use.Proof = mustProve(t, key, token, use, b.Challenge())
		c.Add(nonceLife)
		wantRefusal(t, v.Confirm(use), api.Unauthenticated, "30s old")
	}
}

// A token without a holder is whoever's has it.
func TestBearer(t *testing.T) {
	b := newBroker(t, "g-1", "aws-1", newClock())
	if err := mustVerify(t, b, mustMint(t, b, memLease())).Confirm(Use{Op: OpRead}); err != nil {
		t.Error(err)
	}
}

func TestMintRefusesAHolderWithoutForm(t *testing.T) {
	b := newBroker(t, "g-1", "aws-1", newClock())
	l := memLease()
	l.Holder = "me"
	_, err := b.Mint(l, time.Minute)
	wantRefusal(t, err, api.InvalidArgument, "thumbprint")
}

// The memory of used nonces has a bound, for each lease and for all, and forgets.
func TestNonceMemory(t *testing.T) {
	n, err := newNonces()
	if err != nil {
		t.Fatal(err)
	}
	c := newClock()
	no := func(why string) error { return api.Refuse(api.Unauthenticated, "%s", why) }
	for i := range noncesPerLease {
		if err := n.spend(n.issue(c.Now()), "l-1", c.Now(), no); err != nil {
			t.Fatalf("number %d: %v", i, err)
		}
	}
	wantRefusal(t, n.spend(n.issue(c.Now()), "l-1", c.Now(), no), api.Overloaded, "l-1")
	if err := n.spend(n.issue(c.Now()), "l-2", c.Now(), no); err != nil {
		t.Errorf("another lease: %v", err)
	}
	c.Add(nonceLife + clockStep)
	if err := n.spend(n.issue(c.Now()), "l-1", c.Now(), no); err != nil {
		t.Errorf("later: %v", err)
	}
	if len(n.spent) != 1 || len(n.per) != 1 || len(n.queue)-n.head != 1 || cap(n.queue) > 16 {
		t.Errorf("%d nonces of %d leases are remembered, room for %d", len(n.spent), len(n.per), cap(n.queue))
	}
	ahead := n.issue(c.Now().Add(2 * time.Second)) // before the clock was set back
	wantRefusal(t, n.spend(ahead, "l-1", c.Now(), no), api.Unauthenticated)
}

// No single character of a proof may change.
func TestEveryMutationOfAProofIsRefused(t *testing.T) {
	for _, curve := range []bool{false, true} {
		b := newBroker(t, "g-1", "aws-1", newClock())
		key := newKey(t, curve)
		token := mustMint(t, b, heldLease(key))
		v := mustVerify(t, b, token)
		use := Use{Op: OpRead, Length: 5}
		use.Proof = mustProve(t, key, token, use, b.Challenge())
		good := use.Proof
		for _, s := range mutations(good) {
			use.Proof = s
			if err := v.Confirm(use); err == nil {
				t.Fatalf("took %q for %q", s, good)
			}
		}
		use.Proof = good
		if err := v.Confirm(use); err != nil {
			t.Errorf("the good one, after all the bad: %v", err)
		}
	}
}

// mutations returns every string that differs from s in one place.
func mutations(s string) []string {
	alphabet := "Ag0_.~\n"
	var all []string
	for i := range len(s) {
		for _, r := range alphabet {
			all = append(all, s[:i]+string(r)+s[i+1:])
		}
		all = append(all, s[:i]+string(s[i]^1)+s[i+1:], s[:i]+s[i+1:], s[:i+1]+s[i:], s[:i]+"\n"+s[i:], s[:i])
	}
	all = append(all, s+"=", s+".", s+"A", s+"\n", s+"~")
	return slices.DeleteFunc(all, func(m string) bool { return m == s })
}

// Nor of a chain.
func TestEveryMutationOfAChainIsRefused(t *testing.T) {
	c := newClock()
	b := newBroker(t, "g-1", "aws-1", c)
	first, second := newKey(t, false), newKey(t, true)
	token := mustMint(t, b, heldLease(first))
	chain := mustNarrow(t, first, token, holder.Link{Caveats: holder.Caveats{Ops: []string{OpRead}}, Holder: second.Thumbprint()})
	chain = mustNarrow(t, second, chain, holder.Link{Caveats: holder.Caveats{Length: 100}, ExpiresAt: c.Now().Add(time.Second)})
	mustVerify(t, b, chain)
	n := 0
	start := len(token)
	for _, s := range mutations(chain[start:]) {
		if s == "" || s == chain[start:][:strings.LastIndex(chain[start:], "~")] {
			continue // the token that was narrowed: its holder has it anyway
		}
		n++
		if _, err := b.Verify(token + s); err == nil {
			t.Fatalf("took %q for %q", s, chain[start:])
		}
	}
	t.Logf("%d mutations of the links refused", n)
}

func mustNarrow(tb testing.TB, key *holder.Key, token string, l holder.Link) string {
	tb.Helper()
	chain, err := key.Narrow(token, l)
	if err != nil {
		tb.Fatal(err)
	}
	return chain
}

func TestNarrowed(t *testing.T) {
	c := newClock()
	b := newBroker(t, "g-1", "aws-1", c)
	key, friend := newKey(t, true), newKey(t, false)
	l := heldLease(key)
	token := mustMint(t, b, l)
	chain := mustNarrow(t, key, token, holder.Link{
		Caveats: holder.Caveats{Ops: []string{OpRead}, Offset: 100, Length: 50, MaxBytes: 20}, Holder: friend.Thumbprint(),
	})
	v := mustVerify(t, b, chain)
	if v.Holder != friend.Thumbprint() || !v.Bound(key.Thumbprint()) {
		t.Error("it is still for who gave it on")
	}
	for _, tc := range []struct {
		op             string
		offset, length int64
		ok             bool
	}{
		{OpRead, 100, 20, true},
		{OpRead, 130, 20, true},
		{OpRead, 150, 0, true},
		{OpRead, 151, 0, false},
		{OpRead, 131, 20, false},
		{OpRead, 99, 1, false},
		{OpRead, 100, 21, false},
		{OpRead, 0, 1, false},
		{OpWrite, 100, 20, false},
	} {
		if err := v.Allow(l, Use{Op: tc.op, Offset: tc.offset, Length: tc.length}); (err == nil) != tc.ok {
			t.Errorf("%s of %d at %d: %v", tc.op, tc.length, tc.offset, err)
		}
	}
	// The friend cannot give back what was taken, whatever the next link says.
	wider := mustVerify(t, b, mustNarrow(t, friend, chain, holder.Link{
		Caveats:   holder.Caveats{Ops: []string{OpRead, OpWrite}, Length: 1 << 20, MaxBytes: 1 << 20},
		ExpiresAt: c.Now().Add(time.Hour),
	}))
	if err := wider.Allow(l, Use{Op: OpWrite, Offset: 100, Length: 1}); api.KindOf(err) != api.CaveatFailed {
		t.Errorf("a later link gave the write back: %v", err)
	}
	if wider.Holder != friend.Thumbprint() {
		t.Error("a link that names nobody is somebody else's")
	}
	c.Add(time.Minute)
	_, err := b.Verify(chain)
	wantRefusal(t, err, api.TokenExpired)
}

func TestNarrowRefuses(t *testing.T) {
	c := newClock()
	b := newBroker(t, "g-1", "aws-1", c)
	key, other := newKey(t, false), newKey(t, false)
	token := mustMint(t, b, heldLease(key))
	_, err := b.Verify(mustNarrow(t, other, token, holder.Link{}))
	wantRefusal(t, err, api.BadSignature, "the holder's is")
	_, err = b.Verify(mustNarrow(t, other, mustMint(t, b, memLease()), holder.Link{}))
	wantRefusal(t, err, api.BadSignature, "names no holder")
	given := mustNarrow(t, key, token, holder.Link{Holder: other.Thumbprint()})
	_, err = b.Verify(mustNarrow(t, key, given, holder.Link{})) // it is not the key's any more
	wantRefusal(t, err, api.BadSignature, "the holder's is")
	short := mustNarrow(t, key, token, holder.Link{ExpiresAt: c.Now().Add(time.Second)})
	mustVerify(t, b, short)
	c.Add(time.Second)
	_, err = b.Verify(short)
	wantRefusal(t, err, api.TokenExpired, "narrowed")
	for range holder.MaxLinks {
		token = mustNarrow(t, key, token, holder.Link{})
	}
	mustVerify(t, b, token)
	_, err = key.Narrow(token, holder.Link{})
	wantRefusal(t, err, api.CaveatFailed, "3 times")
	_, err = b.Verify(token + token[strings.LastIndex(token, "~"):])
	wantRefusal(t, err, api.CaveatFailed, "4 times")
	_, err = b.Verify(token + strings.Repeat("a", holder.MaxChain))
	wantRefusal(t, err, api.TooLarge, "4096")
	for _, bad := range []holder.Caveats{{Ops: []string{"erase"}}, {Offset: -1}, {Length: -1}, {MaxBytes: -1}, {Offset: 1 << 62}} {
		_, err := key.Narrow(token, holder.Link{Caveats: bad})
		wantRefusal(t, err, api.CaveatFailed)
	}
}

// Whatever links there are, an operation is allowed only where the token and each link alone
// allow it.
func TestNarrowingOnlyNarrows(t *testing.T) {
	c := newClock()
	b := newBroker(t, "g-1", "aws-1", c)
	key := newKey(t, false)
	l := heldLease(key)
	root := mustMint(t, b, l)
	caveats := rapid.Custom(func(t *rapid.T) holder.Caveats {
		return holder.Caveats{
			Ops:      rapid.SliceOfN(rapid.SampledFrom([]string{OpRead, OpWrite}), 0, 2).Draw(t, "ops"),
			Offset:   rapid.Int64Range(0, 8).Draw(t, "offset"),
			Length:   rapid.Int64Range(0, 8).Draw(t, "length"),
			MaxBytes: rapid.Int64Range(0, 4).Draw(t, "max"),
		}
	})
	rapid.Check(t, func(rt *rapid.T) {
		u := Use{
			Op:     rapid.SampledFrom([]string{OpRead, OpWrite}).Draw(rt, "op"),
			Offset: rapid.Int64Range(0, 12).Draw(rt, "at"), Length: rapid.Int64Range(0, 8).Draw(rt, "bytes"),
		}
		token, want := root, true
		for _, n := range rapid.SliceOfN(caveats, 0, holder.MaxLinks).Draw(rt, "links") {
			token = mustNarrow(t, key, token, holder.Link{Caveats: n})
			want = want && n.Allow(u.Op, u.Offset, u.Length) == nil
		}
		if err := mustVerify(t, b, token).Allow(l, u); (err == nil) != want {
			rt.Fatalf("%+v: %v, want allowed %v", u, err, want)
		}
	})
}

func FuzzChain(f *testing.F) {
	c := newClock()
	b := newBroker(f, "g-1", "aws-1", c)
	key := newKey(f, false)
	token := mustMint(f, b, heldLease(key))
	link := strings.TrimPrefix(mustNarrow(f, key, token, holder.Link{Caveats: holder.Caveats{Ops: []string{OpRead}}}), token)
	f.Add(link)
	f.Add(link + link)
	f.Add("~e30.")
	f.Fuzz(func(t *testing.T, s string) {
		v, err := b.Verify(token + s)
		if err != nil {
			kinds := []api.Kind{api.BadSignature, api.WrongAudience, api.TooLarge, api.CaveatFailed}
			if k := api.KindOf(err); !slices.Contains(kinds, k) {
				t.Fatalf("kind %s: %v", k, err)
			}
			return
		}
		if s != "" && s != link {
			t.Fatalf("took %q: %+v", s, v.Claims)
		}
	})
}

func FuzzProof(f *testing.F) {
	b := newBroker(f, "g-1", "aws-1", newClock())
	key := newKey(f, true)
	token := mustMint(f, b, heldLease(key))
	v := mustVerify(f, b, token)
	f.Add(mustProve(f, key, token, Use{Op: OpWrite}, b.Challenge())) // of another operation
	f.Add("..")
	f.Fuzz(func(t *testing.T, proof string) {
		err := v.Confirm(Use{Op: OpRead, Proof: proof})
		if k := api.KindOf(err); k != api.BadSignature && k != api.Unauthenticated && k != api.TooLarge {
			t.Fatalf("%q is answered %v", proof, err)
		}
	})
}
