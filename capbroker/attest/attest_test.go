package attest

import (
	"context"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/api/clock"
	"github.com/grafos/grafos/capbroker/attest/attesttest"
	"github.com/grafos/grafos/capbroker/jwks"
)

const (
	account  = "123456789012"
	instance = "i-1234567890abcdef0"
	vm       = "d3e0e374-fda6-4649-bbc9-7f20dc379f34"
)

func now() time.Time { return time.Unix(1_800_000_000, 0).UTC() }

func mine() Binding {
	return Binding{CAPin: "sha256:" + strings.Repeat("ab", 32), SPKI: strings.Repeat("cd", 32)}
}

func ok[T any](tb testing.TB) func(v T, err error) T {
	tb.Helper()
	return func(v T, err error) T {
		tb.Helper()
		if err != nil {
			tb.Fatal(err)
		}
		return v
	}
}

// clouds are the three of them, with what they sign.
type clouds struct {
	tb     testing.TB
	aws    *attesttest.Signer
	az, ms *attesttest.Signer // the authority and the metadata service
	google *attesttest.Google
	roots  map[api.EvidenceKind]Roots
	good   map[api.EvidenceKind]string
}

func newClouds(tb testing.TB) *clouds {
	tb.Helper()
	root := ok[*attesttest.Signer](tb)
	c := &clouds{tb: tb, google: ok[*attesttest.Google](tb)(attesttest.NewGoogle())}
	c.aws = root(attesttest.Root("aws", now(), time.Hour))
	c.az = root(attesttest.Root("Test Global Root", now(), time.Hour))
	c.ms = root(c.az.Issue("westeurope.metadata.azure.com", now(), time.Hour))
	set := ok[[]byte](tb)(c.google.JWKS())
	text := ok[string](tb)
	c.roots = map[api.EvidenceKind]Roots{
		api.EvidenceAWS:   {Certificates: []*x509.Certificate{c.aws.Cert}},
		api.EvidenceAzure: {Certificates: []*x509.Certificate{c.az.Cert}},
		api.EvidenceGCP:   {Keys: jwks.NewSource(func(context.Context) ([]byte, error) { return set, nil }, clock.System())},
	}
	c.good = map[api.EvidenceKind]string{
		api.EvidenceAWS:   text(attesttest.AWS(c.aws, account, instance, now())),
		api.EvidenceAzure: text(attesttest.Azure(c.ms, "8d10da13-8125-4ba9-a717-bf7490507b3d", vm, mine().Nonce(), now())),
		api.EvidenceGCP:   text(c.google.Sign(attesttest.GCPClaims("acme-prod", "152986662232938449", mine().Audience(), now()))),
	}
	return c
}

func (c *clouds) verify(kind api.EvidenceKind, doc string, b Binding, at time.Time) (api.Evidence, error) {
	return Verify(c.tb.Context(), api.EvidenceDocument{Kind: kind, Document: doc}, c.roots[kind], b, at)
}

func want(kind api.EvidenceKind) api.Evidence {
	return map[api.EvidenceKind]api.Evidence{
		api.EvidenceAWS:   {Kind: "aws", Account: account, Instance: instance, Region: "eu-west-1", Zone: "eu-west-1b", Image: "ami-5fb8c835", Issued: now().Add(-time.Minute)},
		api.EvidenceAzure: {Kind: "azure", Account: "8d10da13-8125-4ba9-a717-bf7490507b3d", Instance: vm, Image: "22_04-lts-gen2", Issued: now()},
		api.EvidenceGCP:   {Kind: "gcp", Account: "acme-prod", Instance: "152986662232938449", Region: "europe-west1", Zone: "europe-west1-b", Issued: now()},
	}[kind]
}

func TestVerify(t *testing.T) {
	c := newClouds(t)
	for kind, doc := range c.good {
		for name, as := range map[string]string{"as it comes": doc, "with a line behind it": doc + "\n"} {
			if got, err := c.verify(kind, as, mine(), now()); err != nil || got != want(kind) {
				t.Errorf("%s %s: %+v, %v", kind, name, got, err)
			}
		}
		for other := range c.good {
			if _, err := c.verify(other, doc, mine(), now()); other != kind && err == nil {
				t.Errorf("%s's document is taken for one of %s", kind, other)
			}
		}
		long := doc + strings.Repeat("\n", api.MaxEvidence)
		if _, err := c.verify(kind, long, mine(), now()); err == nil || !strings.Contains(err.Error(), "at most") {
			t.Errorf("%s, too large: %v", kind, err)
		}
	}
	framed := "-----BEGIN PKCS7-----\n" + c.good["aws"] + "\n-----END PKCS7-----\n"
	if got, err := c.verify("aws", framed, mine(), now()); err != nil || got != want("aws") {
		t.Errorf("with its frame: %+v, %v", got, err)
	}
	if _, err := c.verify("oracle", "x", mine(), now()); err == nil {
		t.Error("an unknown kind is taken")
	}
}

// Another key, and another cluster, have another binding, and a document for one is none for the other.
func TestBinding(t *testing.T) {
	c := newClouds(t)
	for name, b := range map[string]Binding{
		"another key":     {CAPin: mine().CAPin, SPKI: strings.Repeat("ce", 32)},
		"another cluster": {CAPin: "sha256:" + strings.Repeat("ac", 32), SPKI: mine().SPKI},
	} {
		for _, kind := range []api.EvidenceKind{"gcp", "azure"} {
			_, err := c.verify(kind, c.good[kind], b, now())
			if unbound, ok := errors.AsType[*UnboundError](err); !ok || unbound.Want != b.Audience() && unbound.Want != b.Nonce() {
				t.Errorf("%s, %s: %v", name, kind, err)
			}
		}
	}
	if n := mine().Nonce(); len(n) != 10 || strings.Trim(n, "0123456789") != "" {
		t.Errorf("nonce %q", n)
	}
}

func TestAWSRefuses(t *testing.T) {
	c := newClouds(t)
	root := ok[*attesttest.Signer](t)
	old := root(attesttest.Root("aws", now(), -time.Hour))
	child := root(c.aws.Issue("aws", now(), time.Hour))
	stranger := root(attesttest.Root("aws", now(), time.Hour))
	content := attesttest.AWSContent(account, instance, now())
	made := func(change func(*attesttest.Message)) string {
		m := attesttest.AWSMessage(content, c.aws, now())
		change(&m)
		return ok[string](t)(m.Lines())
	}
	with := func(change func(map[string]any)) string {
		var d map[string]any
		if err := json.Unmarshal(content, &d); err != nil {
			t.Fatal(err)
		}
		change(d)
		b := ok[[]byte](t)(json.Marshal(d))
		return made(func(m *attesttest.Message) { m.Content = b })
	}
	both := c.roots["aws"]
	both.Certificates = append(both.Certificates, old.Cert)
	c.roots["aws"] = both
	for name, tt := range map[string]struct{ doc, want string }{
		"another root":          {made(func(m *attesttest.Message) { m.By = stranger }), "none that is configured"},
		"another root, with it": {made(func(m *attesttest.Message) { m.By, m.Embed = stranger, []*attesttest.Signer{stranger} }), "does not verify"},
		"signed by a child":     {made(func(m *attesttest.Message) { m.By, m.Embed = child, []*attesttest.Signer{child} }), "none that is configured"},
		"expired certificate":   {made(func(m *attesttest.Message) { m.By = old }), "does not verify"},
		"DSA":                   {made(func(m *attesttest.Message) { m.Digest, m.Encryption = attesttest.SHA1, attesttest.DSA }), "/latest/dynamic/instance-identity/rsa2048"},
		"SHA-1":                 {made(func(m *attesttest.Message) { m.Digest = attesttest.SHA1 }), "only RSA over SHA-256"},
		"two signatures":        {made(func(m *attesttest.Message) { m.Twice = true }), "2 signatures"},
		"no content":            {made(func(m *attesttest.Message) { m.Content = nil }), "no content"},
		"signed of the future":  {made(func(m *attesttest.Message) { m.Signed = now().Add(48 * time.Hour) }), "does not verify"},
		"many certificates": {made(func(m *attesttest.Message) {
			for range 9 {
				m.Embed = append(m.Embed, c.aws)
			}
		}), "9 certificates"},
		"text":        {made(func(m *attesttest.Message) { m.Content = []byte("hello") }), "not an instance identity document"},
		"no account":  {with(func(d map[string]any) { delete(d, "accountId") }), "names no account"},
		"no instance": {with(func(d map[string]any) { d["instanceId"] = "" }), "names no account, or no instance"},
		"no region":   {with(func(d map[string]any) { delete(d, "region") }), "no region"},
		"no time":     {with(func(d map[string]any) { delete(d, "pendingTime") }), "no region, or no time"},
		"the future":  {with(func(d map[string]any) { d["pendingTime"] = "2099-01-01T00:00:00Z" }), "no time that has been"},
		"odd word":    {with(func(d map[string]any) { d["instanceId"] = "i-\u202e" }), "no cloud uses"},
		"long word":   {with(func(d map[string]any) { d["imageId"] = strings.Repeat("a", 129) }), "129 bytes"},
		"long":        {made(func(m *attesttest.Message) { m.Content = append(content, strings.Repeat(" ", 8000)...) }), "at most 8192"},
		"nothing":     {"", "cannot be read"},
		"no base64":   {"!!", "not base64"},
		"noise":       {base64.StdEncoding.EncodeToString([]byte(strings.Repeat("\x30\x80", 4000))), "cannot be read"},
	} {
		t.Run(name, func(t *testing.T) {
			if got, err := c.verify("aws", tt.doc, mine(), now()); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%+v, %v: want %q", got, err, tt.want)
			}
		})
	}
	// In DER, as some tools write it again, it is the same document.
	if got, err := c.verify("aws", made(func(m *attesttest.Message) { m.Indefinite = false }), mine(), now()); err != nil || got != want("aws") {
		t.Errorf("%+v, %v", got, err)
	}
	if _, err := c.verify("aws", c.good["aws"], mine(), now().Add(2*time.Hour)); err == nil {
		t.Error("a certificate that has ended is believed")
	}
}

func TestAzureRefuses(t *testing.T) {
	c := newClouds(t)
	root := ok[*attesttest.Signer](t)
	content := attesttest.AzureContent("sub", vm, mine().Nonce(), now())
	by := func(s *attesttest.Signer, at time.Time) string {
		return ok[string](t)(attesttest.Azure(s, "sub", vm, mine().Nonce(), at))
	}
	made := func(change func(*attesttest.Message)) string {
		m := attesttest.AzureMessage(content, c.ms)
		change(&m)
		return ok[string](t)(m.Answer())
	}
	stranger := root(attesttest.Root("Test Global Root", now(), time.Hour))
	for name, tt := range map[string]struct{ doc, want string }{
		"another authority":    {by(root(stranger.Issue("metadata.azure.com", now(), time.Hour)), now()), "does not verify"},
		"another's service":    {by(root(c.az.Issue("metadata.azure.com.evil.example", now(), time.Hour)), now()), "not Azure's metadata service"},
		"nearly the name":      {by(root(c.az.Issue("evilmetadata.azure.com", now(), time.Hour)), now()), "not Azure's metadata service"},
		"the authority itself": {by(c.az, now()), "not Azure's metadata service"},
		"expired certificate":  {by(root(c.az.Issue("metadata.azure.com", now(), -time.Hour)), now()), "does not verify"},
		"expired":              {by(c.ms, now().Add(-6*time.Hour)), "expired 0s ago"},
		"of the future":        {by(c.ms, now().Add(6*time.Minute)), "in the future"},
		"no certificate":       {made(func(m *attesttest.Message) { m.Embed = nil }), "not in the message"},
		"no times":             {made(func(m *attesttest.Message) { m.Content = []byte(`{"vmId":"x"}`) }), "when it was made"},
		"text":                 {made(func(m *attesttest.Message) { m.Content = []byte("hello") }), "not attested data"},
		"another nonce":        {ok[string](t)(attesttest.Azure(c.ms, "sub", vm, "1234567890", now())), "its nonce is"},
		"no nonce":             {ok[string](t)(attesttest.Azure(c.ms, "sub", vm, "", now())), "its nonce is"},
		"another encoding":     {strings.Replace(by(c.ms, now()), "pkcs7", "jwt", 1), "must be pkcs7"},
		"no answer":            {"MIIB", "not the answer"},
	} {
		t.Run(name, func(t *testing.T) {
			if got, err := c.verify("azure", tt.doc, mine(), now()); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%+v, %v: want %q", got, err, tt.want)
			}
		})
	}
}

func TestGCPRefuses(t *testing.T) {
	c := newClouds(t)
	with := func(change func(map[string]any)) string {
		claims := attesttest.GCPClaims("acme-prod", "1", mine().Audience(), now())
		change(claims)
		return ok[string](t)(c.google.Sign(claims))
	}
	stranger := ok[*attesttest.Google](t)(attesttest.NewGoogle())
	for name, tt := range map[string]struct{ doc, want string }{
		"another key":      {ok[string](t)(stranger.Sign(attesttest.GCPClaims("acme-prod", "1", mine().Audience(), now()))), "does not verify"},
		"another issuer":   {with(func(m map[string]any) { m["iss"] = "accounts.google.com" }), "of issuer"},
		"another audience": {with(func(m map[string]any) { m["aud"] = "https://example.com" }), "its audience is"},
		"two audiences":    {with(func(m map[string]any) { m["aud"] = []string{mine().Audience(), "x"} }), "its audience is"},
		"expired":          {with(func(m map[string]any) { m["exp"] = now().Unix() }), "expired"},
		"no end":           {with(func(m map[string]any) { delete(m, "exp") }), "when it ends"},
		"of the future":    {with(func(m map[string]any) { m["iat"] = now().Add(time.Hour).Unix() }), "in the future"},
		"a person's":       {with(func(m map[string]any) { delete(m, "google") }), "format=full"},
		"no project": {with(func(m map[string]any) {
			m["google"] = map[string]any{"compute_engine": map[string]any{"instance_id": "1"}}
		}), "names no account"},
		"no token": {"hello", "not a compact JWT"},
	} {
		t.Run(name, func(t *testing.T) {
			if got, err := c.verify("gcp", tt.doc, mine(), now()); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%+v, %v: want %q", got, err, tt.want)
			}
		})
	}
}

// No change of any byte of a document makes it say something else. A byte that nothing signs, such as
// the version of the envelope, may be another one, and what the document proves is the same.
func TestEveryByte(t *testing.T) {
	c := newClouds(t)
	for kind, doc := range c.good {
		raw, wrap := []byte(doc), func(b []byte) string { return string(b) }
		switch kind {
		case api.EvidenceAWS:
			raw = ok[[]byte](t)(unpack(doc))
			wrap = base64.StdEncoding.EncodeToString
		case api.EvidenceAzure:
			var a azureAnswer
			if err := json.Unmarshal(raw, &a); err != nil {
				t.Fatal(err)
			}
			raw = ok[[]byte](t)(unpack(a.Signature))
			wrap = func(b []byte) string {
				return fmt.Sprintf(`{"encoding":"pkcs7","signature":%q}`, base64.StdEncoding.EncodeToString(b))
			}
		case api.EvidenceGCP:
		}
		if got, err := c.verify(kind, wrap(raw), mine(), now()); err != nil || got != want(kind) {
			t.Fatalf("%s: %+v, %v", kind, got, err)
		}
		same := 0
		for i := range raw {
			for _, flip := range []byte{0x01, 0x80, 0xff} {
				changed := append([]byte(nil), raw...)
				changed[i] ^= flip
				got, err := c.verify(kind, wrap(changed), mine(), now())
				if err == nil && got != want(kind) {
					t.Fatalf("%s: byte %d: it proves %+v", kind, i, got)
				}
				if err == nil {
					same++
				}
			}
		}
		if kind == api.EvidenceGCP && same > 0 || same > 3*len(raw)/20 {
			t.Errorf("%s: %d of %d changes change nothing", kind, same, 3*len(raw))
		}
	}
}

func TestPolicies(t *testing.T) {
	c := newClouds(t)
	check := func(p Policy, provider api.ProviderID, d *api.EvidenceDocument) (*api.Evidence, string) {
		t.Helper()
		s, err := NewPolicies([]Policy{p})
		if err != nil {
			t.Fatal(err)
		}
		e, err := s.Check(t.Context(), provider, d, mine(), now())
		if err == nil {
			return e, ""
		}
		problem, ok := api.AsError(err)
		if !ok || problem.Kind != api.AttestationFailed || problem.Hint == "" {
			t.Errorf("%v", err)
			return e, "?"
		}
		return e, problem.Reason
	}
	aws := Policy{Provider: "aws", Level: Require, Kind: "aws", Roots: c.roots["aws"], Accounts: []string{account}}
	doc := func(kind api.EvidenceKind) *api.EvidenceDocument {
		return &api.EvidenceDocument{Kind: kind, Document: c.good[kind]}
	}
	old := aws
	old.MaxAge = 30 * time.Second
	other := aws
	other.Accounts = []string{"999999999999"}
	accept := aws
	accept.Level, accept.Accounts = Accept, nil
	gcp := Policy{Provider: "gcp", Level: Accept, Kind: "gcp", Roots: c.roots["gcp"]}
	for name, tt := range map[string]struct {
		policy   Policy
		provider api.ProviderID
		doc      *api.EvidenceDocument
		proves   bool
		reason   string
	}{
		"required, brought":      {aws, "aws", doc("aws"), true, ""},
		"required, missing":      {aws, "aws", nil, false, api.AttestationMissing},
		"required, of another":   {aws, "aws", doc("gcp"), false, api.AttestationUnwanted},
		"required, invalid":      {aws, "aws", &api.EvidenceDocument{Kind: "aws", Document: "AAAA"}, false, api.AttestationInvalid},
		"another account":        {other, "aws", doc("aws"), false, api.AttestationAccount},
		"too old":                {old, "aws", doc("aws"), false, api.AttestationStale},
		"accepted, brought":      {accept, "aws", doc("aws"), true, ""},
		"accepted, missing":      {accept, "aws", nil, false, ""},
		"accepted, invalid":      {accept, "aws", &api.EvidenceDocument{Kind: "aws", Document: "AAAA"}, false, api.AttestationInvalid},
		"no policy":              {aws, "local", nil, false, ""},
		"no policy, brought":     {aws, "local", doc("aws"), false, api.AttestationUnwanted},
		"none":                   {Policy{Provider: "aws", Level: None}, "aws", nil, false, ""},
		"gcp":                    {gcp, "gcp", doc("gcp"), true, ""},
		"azure's where gcp's is": {gcp, "gcp", doc("azure"), false, api.AttestationUnwanted},
	} {
		if e, reason := check(tt.policy, tt.provider, tt.doc); reason != tt.reason || (e != nil) != tt.proves {
			t.Errorf("%s: %+v, %q", name, e, reason)
		}
	}
	for name, p := range map[string]Policy{
		"no level":       {Provider: "aws", Kind: "aws", Roots: c.roots["aws"]},
		"no provider":    {Level: Require, Kind: "aws", Roots: c.roots["aws"]},
		"no roots":       {Provider: "aws", Level: Require, Kind: "aws"},
		"roots of gcp":   {Provider: "aws", Level: Require, Kind: "aws", Roots: c.roots["gcp"]},
		"gcp, no keys":   {Provider: "gcp", Level: Require, Kind: "gcp"},
		"an odd kind":    {Provider: "aws", Level: Require, Kind: "oracle", Roots: c.roots["aws"]},
		"a negative age": {Provider: "aws", Level: Require, Kind: "aws", Roots: c.roots["aws"], MaxAge: -1},
	} {
		if _, err := NewPolicies([]Policy{p}); api.KindOf(err) != api.InvalidArgument {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := NewPolicies([]Policy{aws, aws}); api.KindOf(err) != api.InvalidArgument {
		t.Errorf("twice: %v", err)
	}
}

func FuzzPKCS7(f *testing.F) {
	c := newClouds(f)
	for _, kind := range []api.EvidenceKind{"aws", "azure"} {
		doc := c.good[kind]
		var a azureAnswer
		if json.Unmarshal([]byte(doc), &a) == nil {
			doc = a.Signature
		}
		raw, err := unpack(doc)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		text := base64.StdEncoding.EncodeToString(raw)
		azure, err := json.Marshal(azureAnswer{Encoding: "pkcs7", Signature: text})
		if err != nil {
			t.Fatal(err)
		}
		for kind, doc := range map[api.EvidenceKind]string{"aws": text, "azure": string(azure)} {
			got, err := Verify(t.Context(), api.EvidenceDocument{Kind: kind, Document: doc}, c.roots[kind], mine(), now())
			if err == nil && got != want(kind) {
				t.Errorf("%s: it proves %+v", kind, got)
			}
		}
	})
}

func FuzzGCP(f *testing.F) {
	c := newClouds(f)
	f.Add(c.good["gcp"])
	f.Add("e30.e30.")
	f.Fuzz(func(t *testing.T, doc string) {
		got, err := Verify(t.Context(), api.EvidenceDocument{Kind: "gcp", Document: doc}, c.roots["gcp"], mine(), now())
		if err == nil && got != want("gcp") {
			t.Errorf("it proves %+v", got)
		}
	})
}
