package pki

import (
	"crypto/x509"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/grafos/grafos/api"
)

func TestParseIdentity(t *testing.T) {
	long := strings.Repeat("a", 63)
	for uri, want := range map[string]Identity{
		"spiffe://g-1/scheduler/s1":                       {ClusterID: "g-1", Role: api.RoleScheduler, Name: "s1"},
		"spiffe://prod.eu_1/tenant/acme":                  {ClusterID: "prod.eu_1", Role: api.RoleTenant, Name: "acme"},
		"spiffe://g-1/operator/a.b_c-d":                   {ClusterID: "g-1", Role: api.RoleOperator, Name: "a.b_c-d"},
		"spiffe://g-1/viewer/0":                           {ClusterID: "g-1", Role: api.RoleViewer, Name: "0"},
		"spiffe://g-1/cell/aws/aws-1":                     {ClusterID: "g-1", Role: api.RoleCell, Provider: "aws", Cell: "aws-1"},
		"spiffe://" + long + "/cell/" + long + "/" + long: {ClusterID: long, Role: api.RoleCell, Provider: api.ProviderID(long), Cell: api.CellID(long)},
	} {
		got, err := ParseIdentity(uri)
		if err != nil {
			t.Errorf("ParseIdentity(%q): %v", uri, err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("ParseIdentity(%q): -want +got\n%s", uri, diff)
		}
		if got.String() != uri {
			t.Errorf("String() = %q, want %q", got, uri)
		}
	}
}

func TestParseIdentityRefuses(t *testing.T) {
	for name, uri := range map[string]string{
		"empty":             "",
		"another scheme":    "https://g-1/tenant/acme",
		"upper scheme":      "SPIFFE://g-1/tenant/acme",
		"no cluster":        "spiffe:///tenant/acme",
		"upper cluster":     "spiffe://G-1/tenant/acme",
		"cluster ends in .": "spiffe://g-1./tenant/acme",
		"two dots":          "spiffe://g..1/tenant/acme",
		"port":              "spiffe://g-1:80/tenant/acme",
		"user":              "spiffe://u@g-1/tenant/acme",
		"no role":           "spiffe://g-1",
		"slash alone":       "spiffe://g-1/",
		"role alone":        "spiffe://g-1/tenant",
		"unknown role":      "spiffe://g-1/root/acme",
		"upper role":        "spiffe://g-1/Tenant/acme",
		"no name":           "spiffe://g-1/tenant/",
		"two names":         "spiffe://g-1/tenant/acme/x",
		"role prefix":       "spiffe://g-1/role/tenant/acme",
		"cell, one name":    "spiffe://g-1/cell/aws",
		"cell, three names": "spiffe://g-1/cell/aws/aws-1/x",
		"empty provider":    "spiffe://g-1/cell//aws-1",
		"dot segment":       "spiffe://g-1/tenant/..",
		"upper name":        "spiffe://g-1/tenant/Acme",
		"name ends in dash": "spiffe://g-1/tenant/acme-",
		"escaped":           "spiffe://g-1/tenant/ac%6de",
		"query":             "spiffe://g-1/tenant/acme?x=1",
		"fragment":          "spiffe://g-1/tenant/acme#x",
		"trailing slash":    "spiffe://g-1/tenant/acme/",
		"space":             "spiffe://g-1/tenant/acme ",
		"newline":           "spiffe://g-1/tenant/acme\n",
		"not ASCII":         "spiffe://g-1/tenant/acmé",
		"name of 64":        "spiffe://g-1/tenant/" + strings.Repeat("a", 64),
		"longer than 256":   "spiffe://g-1/tenant/" + strings.Repeat("a", 300),
	} {
		t.Run(name, func(t *testing.T) {
			got, err := ParseIdentity(uri)
			wantRefusal(t, err, api.InvalidArgument)
			if got != (Identity{}) {
				t.Errorf("got %v beside the error", got)
			}
		})
	}
}

func TestIdentityCheckRefuses(t *testing.T) {
	for name, id := range map[string]Identity{
		"zero":                 {},
		"no cluster":           {Role: api.RoleTenant, Name: "acme"},
		"no role":              {ClusterID: "g", Name: "acme"},
		"cell with name":       {ClusterID: "g", Role: api.RoleCell, Name: "x", Provider: "p", Cell: "c"},
		"cell without cell":    {ClusterID: "g", Role: api.RoleCell, Provider: "p"},
		"tenant with provider": {ClusterID: "g", Role: api.RoleTenant, Name: "acme", Provider: "p"},
		"slash in name":        {ClusterID: "g", Role: api.RoleTenant, Name: "a/b"},
	} {
		t.Run(name, func(t *testing.T) { wantRefusal(t, id.Check(), api.InvalidArgument) })
	}
}

// genName draws what api.CheckName takes.
func genName() *rapid.Generator[string] {
	return rapid.StringMatching(`[a-z0-9]([a-z0-9._-]{0,61}[a-z0-9])?`)
}

// genCluster draws what a cluster may be called.
func genCluster() *rapid.Generator[string] {
	return genName().Filter(func(s string) bool { return checkClusterID(s) == nil })
}

func genIdentity() *rapid.Generator[Identity] {
	return rapid.Custom(func(t *rapid.T) Identity {
		id := Identity{ClusterID: genCluster().Draw(t, "cluster"), Role: rapid.SampledFrom([]api.Role{
			api.RoleOperator, api.RoleTenant, api.RoleViewer, api.RoleCell, api.RoleScheduler,
		}).Draw(t, "role")}
		if id.Role == api.RoleCell {
			id.Provider, id.Cell = api.ProviderID(genName().Draw(t, "provider")), api.CellID(genName().Draw(t, "cell"))
		} else {
			id.Name = genName().Draw(t, "name")
		}
		return id
	})
}

func TestIdentityRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		id := genIdentity().Draw(t, "identity")
		got, err := ParseIdentity(id.String())
		if err != nil || got != id {
			t.Fatalf("ParseIdentity(%q) = %v, %v; want %v", id, got, err, id)
		}
	})
}

func FuzzParseIdentity(f *testing.F) {
	for _, uri := range []string{"spiffe://g-1/tenant/acme", "spiffe://g-1/cell/aws/aws-1", "spiffe://g-1/", "", "spiffe://g/cell/a/b/c"} {
		f.Add(uri)
	}
	f.Fuzz(func(t *testing.T, uri string) {
		id, err := ParseIdentity(uri)
		if err != nil {
			if api.KindOf(err) != api.InvalidArgument {
				t.Fatalf("kind %s", api.KindOf(err))
			}
			return
		}
		if id.String() != uri {
			t.Fatalf("took %q, which prints as %q", uri, id)
		}
		if err := id.Check(); err != nil {
			t.Fatalf("took %q, which Check refuses: %v", uri, err)
		}
	})
}

func TestCertIdentityRefuses(t *testing.T) {
	m := newTestMaterial(t, "g-1")
	uri := func(s string) *url.URL {
		u, err := url.Parse(s)
		if err != nil {
			t.Fatal(err)
		}
		return u
	}
	for name, c := range map[string]struct {
		change func(*x509.Certificate)
		says   string
	}{
		"none":    {func(c *x509.Certificate) { c.URIs = nil }, "0 URI SANs"},
		"two":     {func(c *x509.Certificate) { c.URIs = append(c.URIs, uri("spiffe://g-1/operator/root")) }, "2 URI SANs"},
		"twice":   {func(c *x509.Certificate) { c.URIs = append(c.URIs, c.URIs[0]) }, "2 URI SANs"},
		"foreign": {func(c *x509.Certificate) { c.URIs = []*url.URL{uri("https://g-1/tenant/acme")} }, "not a SPIFFE id"},
		"role":    {func(c *x509.Certificate) { c.URIs = []*url.URL{uri("spiffe://g-1/root/acme")} }, `role "root"`},
		"query":   {func(c *x509.Certificate) { c.URIs = []*url.URL{uri("spiffe://g-1/tenant/acme?x=1")} }, "not a SPIFFE id"},
		"escaped": {func(c *x509.Certificate) { c.URIs = []*url.URL{uri("spiffe://g-1/tenant/ac%2Fme")} }, "not a SPIFFE id"},
		"a CA":    {func(c *x509.Certificate) { c.IsCA = true }, "is a CA's"},
	} {
		t.Run(name, func(t *testing.T) {
			leaf, err := x509.ParseCertificate(crafted(t, m, tenant("acme"), c.change).Certificate[0])
			if err != nil {
				t.Fatal(err)
			}
			_, err = CertIdentity(leaf)
			wantRefusal(t, err, api.Unauthenticated, c.says)
			_, err = CertCaller(leaf)
			wantRefusal(t, err, api.Unauthenticated, c.says)
		})
	}
	_, err := CertIdentity(nil)
	wantRefusal(t, err, api.Unauthenticated)
	_, err = CertIdentity(m.CA)
	wantRefusal(t, err, api.Unauthenticated, "is a CA's")
}

func TestCertCaller(t *testing.T) {
	m := newTestMaterial(t, "g-1")
	leaf := issue(t, m, CertRequest{Identity: cell(), Now: at()}).Leaf
	got, err := CertCaller(leaf)
	if err != nil {
		t.Fatal(err)
	}
	want := api.Caller{
		Role: api.RoleCell, Provider: "aws", Cell: "aws-1",
		SPKI: SPKI(leaf), Serial: leaf.SerialNumber.Text(16), NotAfter: at().Add(CellCertTTL),
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
	if len(got.SPKI) != 64 || got.Actor() != "cell/aws/aws-1" {
		t.Errorf("SPKI %q, actor %q", got.SPKI, got.Actor())
	}
}
