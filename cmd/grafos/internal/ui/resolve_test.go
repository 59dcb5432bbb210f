package ui

import (
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/grafos/grafos/api"
)

const twoContexts = `current = "prod"

[contexts.prod]
fabric = ["https://p1:7490", "https://p2:7490/"]
cluster_id = "g-prod"
ca = "prod/ca.pem"
cert = "prod/me.pem"
key = "prod/me-key.pem"
tenant = "acme"

[contexts.lab]
fabric = ["https://lab:7490"]
ca = "/lab/ca.pem"
token_file = "lab.token"
`

const devJSON = `{"cluster_id":"g-dev","schedulers":[{"name":"s1","url":"https://127.0.0.1:1","pid":7},{"name":"s2","url":"https://127.0.0.1:2"}],
"ca":"ca.pem","cert":"op.pem","key":"op-key.pem","tenant":"dev","console":"https://x"}`

func TestConnectionComesFromTheFirstThatKnows(t *testing.T) {
	config, project := t.TempDir(), t.TempDir()
	write(t, filepath.Join(config, "grafos", "contexts.toml"), twoContexts)
	write(t, filepath.Join(project, filepath.FromSlash(DevFile)), devJSON)
	below := filepath.Join(project, "deep", "down")
	write(t, filepath.Join(below, "x"), "")
	dev := filepath.Join(project, ".grafos", "dev")
	prod := filepath.Join(config, "grafos", "prod")
	xdg := "XDG_CONFIG_HOME=" + config

	fromDev := Connection{
		URLs: []string{"https://127.0.0.1:1", "https://127.0.0.1:2"}, ClusterID: "g-dev", CAFile: filepath.Join(dev, "ca.pem"),
		CertFile: filepath.Join(dev, "op.pem"), KeyFile: filepath.Join(dev, "op-key.pem"), Tenant: "dev", Origin: filepath.Join(dev, "dev.json"),
	}
	fromProd := Connection{
		URLs: []string{"https://p1:7490", "https://p2:7490"}, ClusterID: "g-prod", CAFile: filepath.Join(prod, "ca.pem"),
		CertFile: filepath.Join(prod, "me.pem"), KeyFile: filepath.Join(prod, "me-key.pem"), Tenant: "acme", Origin: "context prod",
	}
	oneURL := fromDev
	oneURL.URLs, oneURL.Origin = []string{"https://127.0.0.1:2"}, "--fabric"
	fromEnv := Connection{
		URLs: []string{"https://e:1"}, CAFile: "e.ca", CertFile: "e.pem", KeyFile: "e.key", Origin: "GRAFOS_FABRIC",
	}
	devEnv := fromDev
	devEnv.Origin = "GRAFOS_FABRIC"
	lab := Connection{URLs: []string{"https://lab:7490"}, CAFile: "/lab/ca.pem", TokenFile: filepath.Join(config, "grafos", "lab.token"), Origin: "context lab"}
	token := fromDev
	token.CertFile, token.KeyFile, token.TokenFile, token.Tenant = "", "", "t.token", ""
	forTenant := fromDev
	forTenant.Tenant = "blue"

	tests := map[string]struct {
		flags connFlags
		env   []string
		dir   string
		want  Connection
	}{
		"dev cluster, upward":            {dir: below, want: fromDev},
		"current context before dev":     {env: []string{xdg}, dir: below, want: fromProd},
		"named context":                  {env: []string{xdg, "GRAFOS_CONTEXT=lab"}, dir: below, want: lab},
		"flag of one scheduler":          {flags: connFlags{fabric: "https://127.0.0.1:2"}, dir: below, want: oneURL},
		"environment before context":     {env: []string{xdg, "GRAFOS_FABRIC=https://e:1", "GRAFOS_CA=e.ca", "GRAFOS_CERT=e.pem", "GRAFOS_KEY=e.key"}, want: fromEnv},
		"context flag before env":        {flags: connFlags{context: "prod"}, env: []string{xdg, "GRAFOS_FABRIC=https://e:1", "GRAFOS_CA=e.ca"}, want: fromProd},
		"token replaces the certificate": {flags: connFlags{tokenFile: "t.token"}, dir: below, want: token},
		"tenant of the environment":      {env: []string{"GRAFOS_TENANT=blue"}, dir: below, want: forTenant},
		"what dev env prints": {
			env: []string{"GRAFOS_FABRIC=https://127.0.0.1:1,https://127.0.0.1:2", "GRAFOS_CA=" + fromDev.CAFile, "GRAFOS_CERT=" + fromDev.CertFile, "GRAFOS_KEY=" + fromDev.KeyFile},
			dir: below, want: devEnv,
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := tt.flags.resolve(environ(tt.env...), tt.dir)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("connection (-want +got):\n%s", diff)
			}
		})
	}
}

func TestBadConnections(t *testing.T) {
	config, project := t.TempDir(), t.TempDir()
	write(t, filepath.Join(config, "grafos", "contexts.toml"), twoContexts)
	write(t, filepath.Join(project, filepath.FromSlash(DevFile)), `{"cluster_id":`)
	odd := t.TempDir()
	write(t, filepath.Join(odd, "grafos", "contexts.toml"), "[contexts.a]\nfabrik = []\n")
	tests := map[string]struct {
		flags connFlags
		env   []string
		dir   string
		says  string
	}{
		"nothing":         {says: "no cluster is known"},
		"plain http":      {flags: connFlags{fabric: "http://s1:7490"}, says: "not an https URL"},
		"no host":         {flags: connFlags{fabric: "https://"}, says: "not an https URL"},
		"cert alone":      {flags: connFlags{fabric: "https://s1:1", cert: "c.pem"}, says: "needs its key"},
		"unknown context": {flags: connFlags{context: "prd"}, env: []string{"XDG_CONFIG_HOME=" + config}, says: `no context "prd"`},
		"no context file": {flags: connFlags{context: "prod"}, env: []string{"HOME=" + project}, says: "there is no"},
		"no home":         {flags: connFlags{context: "prod"}, says: "there is no $XDG_CONFIG_HOME"},
		"unknown key":     {env: []string{"XDG_CONFIG_HOME=" + odd}, says: `did you mean "fabric"?`},
		"torn dev.json":   {dir: project, says: "dev.json"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := tt.flags.resolve(environ(tt.env...), tt.dir)
			wantProblem(t, err, api.InvalidArgument, tt.says)
		})
	}
}

func TestTokenIsReadAnew(t *testing.T) {
	path := filepath.Join(t.TempDir(), "token")
	c := Connection{TokenFile: path}
	if _, err := c.Token(); api.KindOf(err) != api.InvalidArgument {
		t.Errorf("no file: %v", err)
	}
	for _, want := range []string{"one", "two"} {
		write(t, path, want+"\n")
		if got, err := c.Token(); got != want || err != nil {
			t.Errorf("token is %q, %v", got, err)
		}
	}
	write(t, path, string(make([]byte, maxTokenFile+1)))
	if _, err := c.Token(); api.KindOf(err) != api.TooLarge {
		t.Errorf("a huge file: %v", err)
	}
	if got, err := (Connection{}).Token(); got != "" || err != nil {
		t.Errorf("no token: %q, %v", got, err)
	}
}

func TestTLSNamesTheFile(t *testing.T) {
	dir := t.TempDir()
	notPEM := filepath.Join(dir, "ca.pem")
	write(t, notPEM, "junk")
	for says, c := range map[string]Connection{
		"CA certificate is not known": {},
		"gone.pem":                    {CAFile: filepath.Join(dir, "gone.pem")},
		"no certificate in PEM":       {CAFile: notPEM},
	} {
		_, err := c.TLS(api.RoleScheduler)
		wantProblem(t, err, api.InvalidArgument, says)
	}
}

func FuzzContexts(f *testing.F) {
	f.Add([]byte(twoContexts))
	f.Add([]byte("[contexts.a.b]\nc = 1"))
	f.Add([]byte("contexts = 3"))
	f.Fuzz(func(t *testing.T, text []byte) {
		var file contextFile
		if err := DecodeTOML("contexts.toml", text, &file); err != nil && api.KindOf(err) != api.InvalidArgument {
			t.Errorf("%v", err)
		}
	})
}

func FuzzDev(f *testing.F) {
	dir := f.TempDir()
	path := filepath.Join(dir, filepath.FromSlash(DevFile))
	f.Add(devJSON)
	f.Add(`{"schedulers":[{}]}`)
	f.Fuzz(func(t *testing.T, text string) {
		write(t, path, text)
		if _, err := devSource(dir); err != nil && api.KindOf(err) != api.InvalidArgument {
			t.Errorf("%v", err)
		}
	})
}
