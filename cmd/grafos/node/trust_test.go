package node

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/capbroker/attest/attesttest"
)

const oneKey = `{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"k","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}`

func TestLoadTrust(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	load := func(text string) error {
		t.Helper()
		_, err := loadTrust(write("trust.toml", text), "g-test")
		return err
	}
	write("keys.json", oneKey)
	write("secret.json", `{"keys":[{"kty":"oct","kid":"k","k":"AAAA"}]}`)
	write("long.json", strings.Repeat(" ", 10_000_000))
	write("ca.pem", "no certificate")
	root, err := attesttest.Root("aws", time.Now(), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	write("aws.pem", string(root.PEM()))
	if got, err := loadTrust("", "g-test"); err != nil || got.verifier() != nil {
		t.Errorf("no file: %+v, %v", got, err)
	}
	const head = "[[issuer]]\nissuer = \"https://ci.example.com\"\n"
	if err := load(head + "jwks_file = \"keys.json\"\nproviders = [\"aws\"]\nmax_ttl = \"5m\"\nrequire = {sub = \"x\"}"); err != nil {
		t.Error(err)
	}
	if err := load(head + "jwks_url = \"https://127.0.0.1:1/keys\"\nproviders = [\"aws\"]"); err != nil {
		t.Errorf("a server that is away: %v", err)
	}
	if got, err := loadTrust(write("trust.toml", "[[attestation]]\nprovider = \"aws\"\npolicy = \"require\"\nroots = \"aws.pem\"\n"+
		"[[attestation]]\nprovider = \"lab\"\nkind = \"gcp\"\npolicy = \"accept\"\njwks_file = \"keys.json\"\naccounts = [\"acme\"]"), "g-test"); err != nil ||
		!got.evidence.Requires("aws") || got.evidence.Requires("lab") {
		t.Errorf("attestation: %+v, %v", got, err)
	}
	got, err := loadTrust(write("trust.toml", head+"jwks_file = \"keys.json\"\nproviders = [\"aws\", \"lap\"]\n"+
		"[[attestation]]\nprovider = \"lab\"\nkind = \"gcp\"\npolicy = \"accept\"\njwks_file = \"keys.json\"\naccounts = [\"acme\"]"), "g-test")
	if err != nil {
		t.Fatal(err)
	}
	if u := got.unknown(providers([]string{"aws"})); len(u) != 2 || u[0] != (namedProvider{"lap", "issuer https://ci.example.com"}) || u[1] != (namedProvider{"lab", "attestation"}) {
		t.Errorf("of providers that there are not: %+v", u)
	}
	if u := got.unknown(providers([]string{"lab", "lap=managed"})); len(u) > 0 {
		t.Errorf("of providers that there are: %+v", u)
	}
	const policy = "[[attestation]]\nprovider = \"aws\"\n"
	for text, want := range map[string]string{
		policy + "policy = \"require\"":                                                                                       "verified with",
		policy + "policy = \"always\"\nroots = \"aws.pem\"":                                                                   "none, accept, require",
		policy + "policy = \"require\"\nroots = \"ca.pem\"":                                                                   "ca.pem",
		policy + "policy = \"require\"\nroots = \"keys.json\"":                                                                "keys.json",
		policy + "policy = \"require\"\nkind = \"gcp\"\nroots = \"aws.pem\"":                                                  "verified with",
		policy + "policy = \"require\"\nroots = \"aws.pem\"\n" + policy + "policy = \"none\"":                                 "twice",
		head + "jwks_file = \"keys.json\"":                                                                                    "no provider",
		head + "providers = [\"aws\"]":                                                                                        "one of jwks_file and jwks_url",
		head + "jwks_file = \"keys.json\"\njwks_url = \"https://a/\"\nproviders = [\"aws\"]":                                  "one of jwks_file and jwks_url",
		head + "jwks_file = \"none.json\"\nproviders = [\"aws\"]":                                                             "none.json",
		head + "jwks_file = \"secret.json\"\nproviders = [\"aws\"]":                                                           "a secret",
		head + "jwks_file = \"long.json\"\nproviders = [\"aws\"]":                                                             "long.json",
		head + "jwks_url = \"http://a/keys\"\nproviders = [\"aws\"]":                                                          "not an https address",
		head + "jwks_url = \"https://a/keys\"\njwks_ca = \"ca.pem\"\nproviders = [\"aws\"]":                                   "ca.pem",
		head + "jwks_file = \"keys.json\"\nproviders = [\"aws\"]\nalgorithms = [\"none\"]":                                    "none",
		head + "jwks_file = \"keys.json\"\nprovidrs = [\"aws\"]":                                                              `"providers"`,
		head + "jwks_file = \"keys.json\"\nproviders = [\"aws\"]\n" + head + "jwks_file = \"keys.json\"\nproviders = [\"b\"]": "twice",
	} {
		err := load(text)
		if p, ok := api.AsError(err); !ok || !strings.Contains(p.Detail, want) || p.Kind != api.InvalidArgument && p.Kind != api.TooLarge && p.Kind != api.NotFound {
			t.Errorf("%s\nanswered %v, want %q", text, err, want)
		}
		if strings.Count(err.Error(), "("+string(api.KindOf(err))+")") != 1 {
			t.Errorf("%s\nanswered %v, its kind not once", text, err)
		}
	}
}

// TestNoIdentity: a folder without a cell's identity is refused with one kind, and what makes one.
func TestNoIdentity(t *testing.T) {
	_, err := loadCell(t.TempDir())
	if p := api.Problem(err); p.Kind != api.InvalidArgument || !strings.Contains(p.Hint, "cloud bootstrap-cell") || strings.Contains(p.Detail, "(") {
		t.Errorf("%v, hint %q", err, p.Hint)
	}
}
