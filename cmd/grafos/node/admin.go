package node

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/capbroker/pki"
	"github.com/grafos/grafos/cmd/grafos/internal/ui"
)

// Admin is the commands of grafos admin that need the cluster's material, not a cluster.
func Admin() []*cobra.Command { return []*cobra.Command{initCA(), issueCert(), bootstrapToken()} }

// materialAnswer says what init-ca wrote.
type materialAnswer struct {
	ClusterID string `json:"cluster_id"`
	CAPin     string `json:"ca_pin"`
	Dir       string `json:"dir"`
}

func initCA() *cobra.Command {
	var out, id string
	cmd := &cobra.Command{
		Use:   "init-ca",
		Short: "Write the material of a new cluster: CA, keys, cluster id",
		Long: `Write the material of a new cluster, once: the CA with its key, the key that signs
bootstrap tokens, the gossip key and the cluster id. Every scheduler is given a copy of the
folder. Whoever has it is the cluster: keep it as you would keep a root password.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if out == "" {
				return api.Refuse(api.InvalidArgument, "--out is not given").WithHint("grafos admin init-ca --out DIR")
			}
			m, err := pki.InitMaterial(out, pki.InitOptions{ClusterID: id})
			if err != nil {
				return err
			}
			a := materialAnswer{ClusterID: m.ClusterID, CAPin: m.CAPin(), Dir: out}
			return ui.From(cmd.Context()).Print(a, func(p *ui.Page) {
				p.Name(a.ClusterID)
				p.Fields(ui.F("cluster", ui.T(a.ClusterID)), ui.F("CA", ui.T(a.CAPin)), ui.F("folder", ui.T(a.Dir)))
			})
		},
	}
	cmd.Flags().StringVar(&out, "out", "", "folder to write to; it must not hold material yet (required)")
	cmd.Flags().StringVar(&id, "cluster-id", "", "id of the cluster (default: a random one)")
	return cmd
}

// certAnswer says what issue-cert wrote.
type certAnswer struct {
	SPIFFEID string    `json:"spiffe_id"`
	Cert     string    `json:"cert"`
	Key      string    `json:"key"`
	CA       string    `json:"ca"`
	NotAfter time.Time `json:"not_after"`
}

func issueCert() *cobra.Command {
	var material, role, name, provider, cell, out string
	var ttl time.Duration
	cmd := &cobra.Command{
		Use:   "issue-cert",
		Short: "Issue a certificate for an operator, tenant, viewer or cell",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			m, err := openMaterial(material)
			if err != nil {
				return err
			}
			if out == "" {
				return api.Refuse(api.InvalidArgument, "--out is not given").
					WithHint("grafos admin issue-cert --role tenant --name NAME --out DIR")
			}
			id := pki.Identity{
				ClusterID: m.ClusterID, Role: api.Role(role), Name: name,
				Provider: api.ProviderID(provider), Cell: api.CellID(cell),
			}
			a, err := issueTo(m, pki.CertRequest{Identity: id, TTL: ttl}, out)
			if err != nil {
				return err
			}
			return ui.From(cmd.Context()).Print(a, func(p *ui.Page) {
				p.Name(a.SPIFFEID)
				p.Fields(ui.F("identity", ui.T(a.SPIFFEID)), ui.F("certificate", ui.T(a.Cert)), ui.F("key", ui.T(a.Key)),
					ui.F("CA", ui.T(a.CA)), ui.F("until", ui.T(a.NotAfter.UTC().Format(time.RFC3339))))
			})
		},
	}
	f := cmd.Flags()
	f.StringVar(&material, "material", "", "folder of the cluster's material (default: a dev cluster's)")
	f.StringVar(&role, "role", "tenant", "operator, tenant, viewer, scheduler or cell")
	f.StringVar(&name, "name", "", "name of the operator, tenant, viewer or scheduler")
	f.StringVar(&provider, "provider", "", "provider of a cell")
	f.StringVar(&cell, "cell-id", "", "id of a cell")
	f.StringVar(&out, "out", "", "folder to write cert.pem, key.pem and ca.pem to (required)")
	f.DurationVar(&ttl, "ttl", 0, "how long it is valid (default: a day for a cell, a year for the others)")
	return cmd
}

func issueTo(m *pki.Material, r pki.CertRequest, out string) (certAnswer, error) {
	cred, err := m.Issue(r)
	if err != nil {
		return certAnswer{}, err
	}
	if err := os.MkdirAll(out, 0o700); err != nil {
		return certAnswer{}, err
	}
	if err := noOther(filepath.Join(out, "cert.pem"), r.Identity); err != nil {
		return certAnswer{}, err
	}
	a := certAnswer{
		SPIFFEID: r.Identity.String(), Cert: filepath.Join(out, "cert.pem"), Key: filepath.Join(out, "key.pem"), CA: filepath.Join(out, "ca.pem"),
	}
	if err := cred.Write(a.Cert, a.Key); err != nil {
		return certAnswer{}, err
	}
	cert, err := cred.TLS()
	if err != nil {
		return certAnswer{}, err
	}
	a.NotAfter = cert.Leaf.NotAfter
	return a, os.WriteFile(a.CA, m.CAPEM, 0o600)
}

// noOther refuses to write over the certificate, and so the key, of another identity.
func noOther(file string, id pki.Identity) error {
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return noOthers(filepath.Dir(file))
	}
	if err != nil {
		return err
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return api.Refuse(api.Conflict, "%s is there already, and is no certificate", file).WithHint("give another --out")
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return api.Refuse(api.Conflict, "%s is there already, and cannot be read: %v", file, err).WithHint("give another --out")
	}
	if was, err := pki.CertIdentity(cert); err != nil || was != id {
		return api.Refuse(api.Conflict, "%s is there already, of another identity: %v", file, cert.URIs).WithHint("give another --out")
	}
	return nil
}

// noOthers refuses a folder without a certificate in which there is a key all the same, or a cluster's.
func noOthers(dir string) error {
	for _, name := range []string{"key.pem", "ca.pem", "ca-key.pem", "cell-key.pem"} {
		if _, err := os.Stat(filepath.Join(dir, name)); !errors.Is(err, fs.ErrNotExist) {
			return api.Refuse(api.Conflict, "%s is there already, and no cert.pem beside it that says whose it is", filepath.Join(dir, name)).WithHint("give another --out")
		}
	}
	return nil
}

// tokenAnswer is a minted bootstrap token.
type tokenAnswer struct {
	Token     string         `json:"token"`
	ID        string         `json:"jti"`
	Provider  api.ProviderID `json:"provider"`
	CellID    api.CellID     `json:"cell_id,omitempty"`
	Uses      int            `json:"uses"`
	CAPin     string         `json:"ca_pin"`
	ExpiresAt time.Time      `json:"expires_at"`
}

func bootstrapToken() *cobra.Command {
	var material, provider, cell string
	var ttl time.Duration
	var uses int
	cmd := &cobra.Command{
		Use:   "bootstrap-token",
		Short: "Mint a token with which a host becomes a cell",
		Long: `Mint a token with which a host becomes a cell (grafos cloud bootstrap-cell). Standard
output is the token alone. It carries the fingerprint of the cluster's CA. That it is used
at most --uses times, each by one key, is decided by the schedulers.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			m, err := openMaterial(material)
			if err != nil {
				return err
			}
			if provider == "" {
				return api.Refuse(api.InvalidArgument, "--provider is not given: it says whose cell the host becomes").WithHint("grafos provider list")
			}
			a, err := mintToken(m, api.ProviderID(provider), api.CellID(cell), ttl, uses)
			if err != nil {
				return err
			}
			return ui.From(cmd.Context()).Print(a, func(p *ui.Page) {
				p.Name(a.Token)
				p.Text(a.Token)
			})
		},
	}
	f := cmd.Flags()
	f.StringVar(&material, "material", "", "folder of the cluster's material (default: a dev cluster's)")
	f.StringVar(&provider, "provider", "", "provider that the cell will belong to (required)")
	f.StringVar(&cell, "cell-id", "", "id of the cell (default: any)")
	f.DurationVar(&ttl, "ttl", 15*time.Minute, "how long the token can be used")
	f.IntVar(&uses, "uses", 1, "how many keys it can certify")
	return cmd
}

// maxTokenTTL bounds a bootstrap token's life.
const maxTokenTTL = 24 * time.Hour

func mintToken(m *pki.Material, p api.ProviderID, cell api.CellID, ttl time.Duration, uses int) (tokenAnswer, error) {
	if err := api.CheckName("provider", string(p)); err != nil {
		return tokenAnswer{}, err
	}
	if cell != "" {
		if err := api.CheckName("cell id", string(cell)); err != nil {
			return tokenAnswer{}, err
		}
	}
	if ttl <= 0 || ttl > maxTokenTTL {
		return tokenAnswer{}, api.Refuse(api.InvalidArgument, "ttl is %s: it must be above 0 and at most %s", ttl, maxTokenTTL)
	}
	if uses < 1 || uses > 1000 {
		return tokenAnswer{}, api.Refuse(api.InvalidArgument, "uses is %d: it must be from 1 to 1000", uses)
	}
	now := time.Now()
	token, err := m.MintBootstrap(pki.BootstrapClaims{Provider: p, CellID: cell, Uses: uses, IssuedAt: now, ExpiresAt: now.Add(ttl)})
	if err != nil {
		return tokenAnswer{}, err
	}
	claims, err := pki.PeekBootstrap(token)
	if err != nil {
		return tokenAnswer{}, err
	}
	return tokenAnswer{
		Token: token, ID: claims.ID, Provider: p, CellID: cell, Uses: uses, CAPin: claims.CAPin, ExpiresAt: claims.ExpiresAt.UTC(),
	}, nil
}

// openMaterial loads the folder given, or GRAFOS_MATERIAL, or that of a running dev cluster.
func openMaterial(dir string) (*pki.Material, error) {
	if dir == "" {
		dir = os.Getenv("GRAFOS_MATERIAL")
	}
	if dir == "" {
		if wd, err := os.Getwd(); err == nil {
			if dev := ui.FindDev(wd); dev != "" {
				dir = filepath.Join(filepath.Dir(dev), materialDir)
			}
		}
	}
	if dir == "" {
		return nil, api.Refuse(api.InvalidArgument, "--material is not given and no dev cluster runs here").
			WithHint("give the folder that grafos admin init-ca wrote")
	}
	return pki.LoadMaterial(dir)
}
