package ui

import (
	"net/url"
	"strings"

	"github.com/spf13/cobra"

	"github.com/grafos/grafos/api"
)

// connFlags are the flags of a connection.
type connFlags struct {
	fabric    string
	context   string
	tokenFile string
	ca        string
	cert      string
	key       string
}

func (f *connFlags) addFlags(root *cobra.Command) {
	fs := root.PersistentFlags()
	fs.StringVar(&f.fabric, "fabric", "", "schedulers to ask: `URL[,URL...]` (GRAFOS_FABRIC)")
	fs.StringVar(&f.context, "context", "", "`name` of a context in contexts.toml (GRAFOS_CONTEXT)")
	fs.StringVar(&f.tokenFile, "token-file", "", "`file` with a bearer token (GRAFOS_TOKEN_FILE)")
	fs.StringVar(&f.ca, "ca", "", "`file` with the cluster's CA certificate (GRAFOS_CA)")
	fs.StringVar(&f.cert, "cert", "", "`file` with your certificate (GRAFOS_CERT)")
	fs.StringVar(&f.key, "key", "", "`file` with its key (GRAFOS_KEY)")
}

// source is one place that may know a part of a connection.
type source struct {
	origin    string
	fabric    []string
	clusterID string
	ca        string
	cert      string
	key       string
	tokenFile string
	tenant    string
}

// credential reports whether the source says who asks. A certificate and a token of two
// sources are never mixed: the first source that has either wins.
func (s source) credential() bool { return s.cert != "" || s.key != "" || s.tokenFile != "" }

// resolve takes each part from the first source that has it: flags, environment, context
// file, a dev cluster found upward from dir. A context that was named by a flag stands
// before the environment, since it was meant.
func (f *connFlags) resolve(getenv func(string) string, dir string) (Connection, error) {
	env := source{
		origin: "GRAFOS_FABRIC", fabric: splitList(getenv("GRAFOS_FABRIC")), ca: getenv("GRAFOS_CA"),
		cert: getenv("GRAFOS_CERT"), key: getenv("GRAFOS_KEY"), tokenFile: getenv("GRAFOS_TOKEN_FILE"),
	}
	flags := source{
		origin: "--fabric", fabric: splitList(f.fabric), ca: f.ca, cert: f.cert, key: f.key, tokenFile: f.tokenFile,
	}
	name := f.context
	if name == "" {
		name = getenv("GRAFOS_CONTEXT")
	}
	named, err := contextSource(getenv, name)
	if err != nil {
		return Connection{}, err
	}
	dev, err := devSource(dir)
	if err != nil {
		return Connection{}, err
	}
	sources := []source{flags, env, named, dev}
	if f.context != "" {
		sources = []source{flags, named, env, dev}
	}
	c := merge(sources)
	if tenant := getenv("GRAFOS_TENANT"); tenant != "" {
		c.Tenant = api.TenantID(tenant)
	}
	return c, c.check()
}

func merge(sources []source) Connection {
	var c Connection
	var cred source
	for _, s := range sources {
		if len(c.URLs) == 0 && len(s.fabric) > 0 {
			c.URLs, c.Origin = s.fabric, s.origin
		}
		if c.CAFile == "" {
			c.CAFile = s.ca
		}
		if !cred.credential() {
			cred = s
		}
	}
	c.CertFile, c.KeyFile, c.TokenFile = cred.cert, cred.key, cred.tokenFile
	for _, s := range sources {
		// The cluster's id goes with its CA, and whom an operator acts for with his
		// credential, also where another source named the same files first.
		if c.ClusterID == "" && s.ca != "" && s.ca == c.CAFile {
			c.ClusterID = s.clusterID
		}
		if c.Tenant == "" && s.credential() && s.cert == c.CertFile && s.tokenFile == c.TokenFile {
			c.Tenant = api.TenantID(s.tenant)
		}
	}
	return c
}

func (c Connection) check() error {
	if len(c.URLs) == 0 {
		return api.Refuse(api.InvalidArgument, "no cluster is known").
			WithHint("start one here with grafos dev up, or give --fabric URL, GRAFOS_FABRIC or a context")
	}
	for _, u := range c.URLs {
		parsed, err := url.Parse(u)
		if err != nil || parsed.Scheme != "https" || parsed.Host == "" {
			return api.Refuse(api.InvalidArgument, "%s: %q is not an https URL", c.Origin, Clean(u))
		}
	}
	if (c.CertFile == "") != (c.KeyFile == "") {
		return api.Refuse(api.InvalidArgument, "a certificate needs its key: certificate %q, key %q", c.CertFile, c.KeyFile).
			WithHint("give --cert and --key together")
	}
	return nil
}

func splitList(text string) []string {
	var list []string
	for part := range strings.SplitSeq(text, ",") {
		if part = strings.TrimRight(strings.TrimSpace(part), "/"); part != "" {
			list = append(list, part)
		}
	}
	return list
}
