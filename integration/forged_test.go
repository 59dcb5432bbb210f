package integration

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	endian "encoding/binary"
	"encoding/json"
	"maps"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/capbroker/holder"
	"github.com/grafos/grafos/integration/internal/harness"
)

// forger signs with the key of a real cell (known-key) whatever a test wants to be said.
type forger struct {
	key              ed25519.PrivateKey
	footer, implicit []byte
	claims           map[string]any // of a token that the cell minted
}

// forgerOf learns from a token of the cell what one looks like.
func forgerOf(t *testing.T, g api.Grant, cluster string) *forger {
	t.Helper()
	seed := sha256.Sum256([]byte(g.CellID))
	f := &forger{key: ed25519.NewKeyFromSeed(seed[:]), implicit: []byte(cluster + "/" + string(g.CellID))}
	parts := strings.Split(g.Token, ".")
	payload, err := base64.RawURLEncoding.DecodeString(parts[2])
	if err != nil {
		t.Fatal(err)
	}
	if f.footer, err = base64.RawURLEncoding.DecodeString(parts[3]); err != nil {
		t.Fatal(err)
	}
	dec := json.NewDecoder(bytes.NewReader(payload[:len(payload)-ed25519.SignatureSize]))
	dec.UseNumber()
	if err := dec.Decode(&f.claims); err != nil {
		t.Fatal(err)
	}
	if got := f.sign(payload[:len(payload)-ed25519.SignatureSize]); got != g.Token {
		t.Fatalf("the test's signature is not the cell's:\n%s\n%s", got, g.Token)
	}
	return f
}

// sign is PASETO v4.public of some bytes.
func (f *forger) sign(claims []byte) string {
	var text []byte
	for _, piece := range [][]byte{{4, 0, 0, 0, 0, 0, 0, 0}, []byte("v4.public."), claims, f.footer, f.implicit} {
		if text != nil {
			text = endian.LittleEndian.AppendUint64(text, uint64(len(piece)))
		}
		text = append(text, piece...)
	}
	b64 := base64.RawURLEncoding.EncodeToString
	return "v4.public." + b64(append(bytes.Clone(claims), ed25519.Sign(f.key, text)...)) + "." + b64(f.footer)
}

// with is a token that says something else.
func (f *forger) with(t *testing.T, changes map[string]any) string {
	t.Helper()
	claims := maps.Clone(f.claims)
	for k, v := range changes {
		if claims[k] = v; v == nil {
			delete(claims, k)
		}
	}
	b, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	return f.sign(b)
}

// times are the claims of a token that was issued so long from now, and lives so long.
func times(ahead, life time.Duration) map[string]any {
	at := time.Now().Add(ahead).UTC()
	return map[string]any{"iat": at, "nbf": at, "exp": at.Add(life)}
}

// TestForgedTokens shows a real cell, straight and through a scheduler, tokens that are signed with its own key and
// say what no broker says: each claim is wrong for itself, and each refusal has the kind that docs/leases.md names.
// Then proofs of holders, once too often.
func TestForgedTokens(t *testing.T) {
	if testing.Short() {
		t.Skip("starts processes")
	}
	c := up(t, 2)
	d := &door{Cluster: c, scratch: t.TempDir()}
	before := conformance(t, c)["local-1"].Epoch
	if err := c.Kill(t.Context(), "local-1"); err != nil {
		t.Fatal(err)
	}
	startAgent(t, c, "local-1", []string{"GRAFOS_TEST_FAULTS=1"}, "--test-faults", "known-key:mem")
	if !readyAgain(t, c, "local-1", before) {
		t.FailNow()
	}
	d.look(t)
	for _, tenant := range []string{"acme", "globex"} {
		d.must(t, "admin", "create-tenant", tenant)
	}
	states, err := d.States(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	on := func(cell api.CellID, args ...string) api.Grant {
		t.Helper()
		for range 8 {
			var set api.GrantSet
			d.into(t, &set, append([]string{"lease", "request", "--provider", "local", "--tenant", "acme", "--mem", "64K"}, args...)...)
			if set.Leases[0].CellID == cell {
				return set.Leases[0]
			}
		}
		t.Fatalf("no lease comes to %s", cell)
		return api.Grant{}
	}
	g, neighbour := on("local-1", "--ttl", "10m"), on("local-1", "--ttl", "10m")
	f := forgerOf(t, g, states[0].ClusterID)
	t.Run("claims", func(t *testing.T) { d.forgedClaims(t, f, g, neighbour) })
	t.Run("beyond the lease", func(t *testing.T) { d.outlives(t, on("local-1", "--ttl", "2s"), states[0].ClusterID) })
	t.Run("proofs", func(t *testing.T) {
		key, public := d.keyFile(t, "forger")
		mine := on("local-1", "--ttl", "10m", "--holder-key", public)
		d.proofs(t, key, mine, on("local-1", "--ttl", "10m", "--holder-key", public), on("local-2", "--ttl", "10m", "--holder-key", public))
	})
	freeAll(t, d, "acme")
	d.look(t)
	d.sound(t)
}

// forgedClaims is the table of what a token may say wrongly.
func (d *door) forgedClaims(t *testing.T, f *forger, g, neighbour api.Grant) {
	t.Helper()
	type claims = map[string]any
	foreign := *f
	foreign.implicit = []byte("another-cluster/" + string(g.CellID))
	named := *f
	named.footer = []byte(`{"kid":"0123456789abcdef"}`)
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	other := *f
	other.key = key
	someone := sha256.Sum256([]byte("somebody's key"))
	deep := strings.Repeat("[", 500) + strings.Repeat("]", 500)
	for name, row := range map[string]struct {
		token string
		want  api.Kind
	}{
		"as it is":                             {f.with(t, nil), ""},
		"just as long as it may be":            {f.with(t, times(0, api.MaxTokenLife)), ""},
		"another key under the name of its":    {other.with(t, nil), api.BadSignature},
		"another key's name":                   {named.with(t, nil), api.BadSignature},
		"another cluster's":                    {foreign.with(t, nil), api.BadSignature},
		"the version before":                   {f.with(t, claims{"v": 1}), api.BadSignature},
		"the version after":                    {f.with(t, claims{"v": 3}), api.BadSignature},
		"no version":                           {f.with(t, claims{"v": nil}), api.BadSignature},
		"a claim that is not known":            {f.with(t, claims{"scope": "all"}), api.BadSignature},
		"a claim of another form":              {f.with(t, claims{"amount": "65536"}), api.BadSignature},
		"no claims":                            {f.sign([]byte("{}")), api.BadSignature},
		"not JSON":                             {f.sign([]byte("{")), api.BadSignature},
		"claims that are too deep":             {f.with(t, claims{"caveats": json.RawMessage(deep)}), api.CaveatFailed},
		"too many bytes":                       {f.with(t, claims{"jti": strings.Repeat("A", 3000)}), api.TooLarge},
		"another cell's":                       {f.with(t, claims{"iss": "local-2", "aud": "local-2/data"}), api.WrongAudience},
		"another issuer":                       {f.with(t, claims{"iss": "local-2"}), api.WrongAudience},
		"another audience":                     {f.with(t, claims{"aud": "local-1/control"}), api.WrongAudience},
		"issued in the future":                 {f.with(t, times(time.Hour, time.Minute)), api.TokenExpired},
		"issued a little in the future":        {f.with(t, times(30*time.Second, time.Minute)), api.TokenExpired},
		"not before the future":                {f.with(t, claims{"nbf": time.Now().Add(time.Minute)}), api.TokenExpired},
		"expired":                              {f.with(t, times(-time.Hour, api.MaxTokenLife)), api.TokenExpired},
		"expired just now":                     {f.with(t, times(-time.Minute, time.Minute)), api.TokenExpired},
		"longer than any":                      {f.with(t, times(0, api.MaxTokenLife+time.Millisecond)), api.BadSignature},
		"a day long":                           {f.with(t, times(0, 24*time.Hour)), api.BadSignature},
		"a day long, issued yesterday":         {f.with(t, times(-24*time.Hour+time.Minute, 24*time.Hour)), api.BadSignature},
		"over before it began":                 {f.with(t, times(0, -time.Second)), api.BadSignature},
		"no end":                               {f.with(t, claims{"exp": nil}), api.BadSignature},
		"no beginning":                         {f.with(t, claims{"nbf": nil}), api.BadSignature},
		"no date":                              {f.with(t, claims{"iat": nil}), api.BadSignature},
		"the registration before":              {f.with(t, claims{"cell_epoch": less(t, f, "cell_epoch")}), api.StaleEpoch},
		"the registration after":               {f.with(t, claims{"cell_epoch": 1 << 40}), api.StaleEpoch},
		"the grant before":                     {f.with(t, claims{"epoch": less(t, f, "epoch")}), api.StaleEpoch},
		"a grant to come":                      {f.with(t, claims{"epoch": 1 << 60}), api.StaleEpoch},
		"the generation before":                {f.with(t, claims{"generation": 0}), api.StaleGeneration},
		"a generation to come":                 {f.with(t, claims{"generation": 2}), api.StaleGeneration},
		"another tenant":                       {f.with(t, claims{"sub": "globex"}), api.CaveatFailed},
		"another lease":                        {f.with(t, claims{"lease": string(neighbour.ID)}), api.CaveatFailed},
		"no lease":                             {f.with(t, claims{"lease": nil}), api.BadSignature},
		"another kind":                         {f.with(t, claims{"kind": "block"}), api.CaveatFailed},
		"a larger amount":                      {f.with(t, claims{"amount": g.Amount * 2}), api.CaveatFailed},
		"an amount below zero":                 {f.with(t, claims{"amount": -1}), api.CaveatFailed},
		"no caveats":                           {f.with(t, claims{"caveats": nil}), api.CaveatFailed},
		"only to write":                        {f.with(t, claims{"caveats": claims{"ops": []string{"write"}}}), api.CaveatFailed},
		"an operation that is not known":       {f.with(t, claims{"caveats": claims{"ops": []string{"read", "admin"}}}), api.CaveatFailed},
		"a caveat that is not known":           {f.with(t, claims{"caveats": claims{"ops": []string{"read"}, "colour": "red"}}), api.CaveatFailed},
		"a caveat that only holders add":       {f.with(t, claims{"caveats": claims{"ops": []string{"read"}, "length": 5}}), api.BadSignature},
		"a holder that is no key":              {f.with(t, claims{"cnf": "me"}), api.BadSignature},
		"another holder":                       {f.with(t, claims{"cnf": holder.Thumbprint(someone).String()}), api.Unauthenticated},
		"narrowed where no holder is":          {f.with(t, nil) + "~e30.AAAA", api.BadSignature},
		"narrowed more often than it may be":   {f.with(t, nil) + strings.Repeat("~e30.AAAA", holder.MaxLinks+1), api.CaveatFailed},
		"one byte more than all its links may": {f.with(t, nil) + strings.Repeat("~", holder.MaxChain), api.TooLarge},
	} {
		t.Run(name, func(t *testing.T) {
			d.bothWays(t, g, attempt{token: row.token, query: "?length=1"}, row.want)
		})
	}
	var a api.LeaseAnswer
	d.into(t, &a, "lease", "renew", string(g.ID))
	t.Run("after a renewal", func(t *testing.T) {
		d.bothWays(t, g, attempt{token: f.with(t, nil), query: "?length=1"}, api.StaleGeneration)
		d.bothWays(t, g, attempt{token: f.with(t, map[string]any{"generation": 2}), query: "?length=1"}, "")
	})
}

// less is a number of the claims, less one.
func less(t *testing.T, f *forger, claim string) int64 {
	t.Helper()
	n, err := f.claims[claim].(json.Number).Int64() //nolint:errcheck,forcetypeassert // of this test
	if err != nil {
		t.Fatal(err)
	}
	return n - 1
}

// bothWays makes an attempt at the cell and through a scheduler.
func (d *door) bothWays(t *testing.T, g api.Grant, a attempt, want api.Kind) {
	t.Helper()
	for way, do := range map[string]func(*testing.T, api.Grant, attempt) answered{"straight": d.straight, "carried": d.carried} {
		if got := do(t, g, a); got.kind != want || want == "" && got.status >= http.StatusBadRequest {
			t.Errorf("%s: answered %d %q, want %q: %.300s", way, got.status, got.kind, want, got.body)
		}
	}
}

// outlives uses a token that lives longer than its lease: the lease's end ends it, not the token's.
func (d *door) outlives(t *testing.T, g api.Grant, cluster string) {
	t.Helper()
	long := forgerOf(t, g, cluster).with(t, times(0, api.MaxTokenLife))
	for {
		begun := time.Now()
		got := d.straight(t, g, attempt{token: long, query: "?length=1"})
		if got.status == http.StatusOK {
			if begun.After(g.ExpiresAt.Add(time.Second)) {
				t.Fatalf("it is served %s after its lease's end", begun.Sub(g.ExpiresAt))
			}
			if harness.Pause(t.Context(), 50*time.Millisecond) != nil {
				return
			}
			continue
		}
		if got.kind != api.LeaseExpiredKind {
			t.Errorf("after its lease's end it is answered %d %q", got.status, got.kind)
		}
		break
	}
	d.bothWays(t, g, attempt{token: long, query: "?length=1"}, api.LeaseExpiredKind)
}

// proofs are those of a holder: each is good once, for one operation, at one cell, whichever way it comes.
func (d *door) proofs(t *testing.T, keyFile string, g, other, elsewhere api.Grant) {
	t.Helper()
	b, err := os.ReadFile(keyFile)
	if err != nil {
		t.Fatal(err)
	}
	key, err := holder.ParseKey(b)
	if err != nil {
		t.Fatal(err)
	}
	nonce := func(g api.Grant) string {
		t.Helper()
		var p api.Error
		got := d.straight(t, g, attempt{token: g.Token, query: "?length=1"})
		if err := json.Unmarshal(got.body, &p); err != nil || got.kind != api.Unauthenticated || p.Nonce == "" {
			t.Fatalf("without a proof: %d %q, %+v", got.status, got.kind, p)
		}
		return p.Nonce
	}
	prove := func(g api.Grant, nonce string, r holder.Request) string {
		t.Helper()
		r.Lease, r.Cell, r.Token = g.ID, g.CellID, g.Token
		proof, err := key.Prove(r, nonce)
		if err != nil {
			t.Fatal(err)
		}
		return proof
	}
	read := holder.Request{Op: "read", Length: 1}
	ask := func(g api.Grant, proof string) attempt {
		return attempt{token: g.Token, query: "?length=1", proof: proof}
	}
	ways := map[string]func(*testing.T, api.Grant, attempt) answered{"straight": d.straight, "carried": d.carried}
	for first, once := range ways {
		for second, again := range ways {
			t.Run(first+", then "+second, func(t *testing.T) {
				proof := prove(g, nonce(g), read)
				if got := once(t, g, ask(g, proof)); got.status != http.StatusOK {
					t.Fatalf("a good proof is answered %d %q: %s", got.status, got.kind, got.body)
				}
				if got := again(t, g, ask(g, proof)); got.kind != api.Unauthenticated {
					t.Errorf("a proof that was used is answered %d %q", got.status, got.kind)
				}
			})
		}
	}
	t.Run("every byte of it changed", func(t *testing.T) {
		good := prove(g, nonce(g), read)
		d.eachBent(t, g, good, func(bent string) attempt { return ask(g, bent) })
		if got := d.straight(t, g, ask(g, good)); got.status != http.StatusOK {
			t.Errorf("the good one was spent: %d %q", got.status, got.kind)
		}
	})
	t.Run("every byte of a narrowed token changed", func(t *testing.T) {
		chain, err := key.Narrow(g.Token, holder.Link{Caveats: holder.Caveats{Ops: []string{"read"}, Length: 16}})
		if err != nil {
			t.Fatal(err)
		}
		fresh := nonce(g)
		use := func(token string) attempt { // with a proof that is good for what is shown
			proof, err := key.Prove(holder.Request{Op: "read", Lease: g.ID, Cell: g.CellID, Token: token, Length: 1}, fresh)
			if err != nil {
				t.Fatal(err)
			}
			return attempt{token: token, query: "?length=1", proof: proof}
		}
		d.eachBent(t, g, chain, use)
		if got := d.straight(t, g, use(chain)); got.status != http.StatusOK {
			t.Errorf("the good one is answered %d %q", got.status, got.kind)
		}
	})
	for name, row := range map[string]struct {
		lease api.Grant
		ask   attempt
		want  api.Kind
	}{
		"of another lease":          {g, ask(g, prove(other, nonce(g), read)), api.BadSignature},
		"of another operation":      {g, ask(g, prove(g, nonce(g), holder.Request{Op: "write", Length: 1})), api.BadSignature},
		"of another offset":         {g, ask(g, prove(g, nonce(g), holder.Request{Op: "read", Offset: 1, Length: 1})), api.BadSignature},
		"of another length":         {g, ask(g, prove(g, nonce(g), holder.Request{Op: "read", Length: 2})), api.BadSignature},
		"of other bytes":            {g, attempt{token: g.Token, write: true, body: []byte("x"), proof: prove(g, nonce(g), holder.Request{Op: "write", Length: 1, Body: sha256.Sum256([]byte("y"))})}, api.BadSignature},
		"with another cell's nonce": {g, ask(g, prove(g, nonce(elsewhere), read)), api.Unauthenticated},
		"with a nonce of one's own": {g, ask(g, prove(g, "bm9uY2U", read)), api.Unauthenticated},
		"at another cell":           {elsewhere, ask(elsewhere, prove(g, nonce(elsewhere), read)), api.BadSignature},
		"that is none":              {g, ask(g, "a.b.c"), api.BadSignature},
		"that is too long":          {g, ask(g, strings.Repeat("A", holder.MaxProof+1)), api.TooLarge},
	} {
		t.Run(name, func(t *testing.T) {
			for way, do := range ways {
				if got := do(t, row.lease, row.ask); got.kind != row.want {
					t.Errorf("%s: answered %d %q, want %q: %.300s", way, got.status, got.kind, row.want, got.body)
				}
			}
		})
	}
}

// eachBent changes each byte of a text for itself: no attempt with it is let in, or fails for any other reason.
func (d *door) eachBent(t *testing.T, g api.Grant, text string, ask func(string) attempt) {
	t.Helper()
	for i := range len(text) {
		bent := []byte(text)
		if bent[i]++; bent[i] > '~' {
			bent[i] = '!'
		}
		ways := []func(*testing.T, api.Grant, attempt) answered{d.straight}
		if i%32 == 0 {
			ways = append(ways, d.carried)
		}
		for _, do := range ways {
			if got := do(t, g, ask(string(bent))); got.kind != api.BadSignature && got.kind != api.WrongAudience {
				t.Errorf("byte %d: answered %d %q: %.300s", i, got.status, got.kind, got.body)
			}
		}
	}
}
