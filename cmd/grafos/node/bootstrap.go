package node

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/spf13/cobra"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/api/client"
	"github.com/grafos/grafos/capbroker/attest"
	"github.com/grafos/grafos/capbroker/issuer"
	"github.com/grafos/grafos/capbroker/pki"
	"github.com/grafos/grafos/cmd/grafos/internal/ui"
)

// Files of a cell's identity folder. The key never leaves the host.
const (
	cellAboutFile = "cell.json"
	cellCertFile  = "cell.pem"
	cellKeyFile   = "cell-key.pem"
	cellCAFile    = "ca.pem"
	cellCSRFile   = "request.csr"
	cellNewKey    = "request-key.pem" // until the certificate is there
)

// cellAbout says whose identity a folder holds.
type cellAbout struct {
	ClusterID  string         `json:"cluster_id"`
	Provider   api.ProviderID `json:"provider"`
	CellID     api.CellID     `json:"cell_id"`
	Schedulers []string       `json:"schedulers"`
	NotAfter   time.Time      `json:"not_after"`
}

type cellIdentity struct {
	about cellAbout
	keys  *pki.Keyring
	roots *x509.CertPool
}

// loadCell reads a cell's identity folder.
func loadCell(dir string) (*cellIdentity, error) {
	b, err := ui.ReadBounded(filepath.Join(dir, cellAboutFile), 1<<16)
	if err != nil {
		return nil, ui.Usage(fmt.Errorf("%s holds no cell identity: %w", dir, err)).
			WithHint("make one: grafos cloud bootstrap-cell --provider P --cell-id ID --token-file F --scheduler URL --dir %s", dir)
	}
	id := &cellIdentity{roots: x509.NewCertPool()}
	if err := ui.DecodeJSON(filepath.Join(dir, cellAboutFile), b, &id.about); err != nil {
		return nil, err
	}
	if id.keys, err = pki.OpenKeyring(filepath.Join(dir, cellCertFile), filepath.Join(dir, cellKeyFile)); err != nil {
		return nil, err
	}
	caPEM, err := ui.ReadBounded(filepath.Join(dir, cellCAFile), 1<<16)
	if err != nil {
		return nil, err
	}
	ca, err := pki.ParseCA(caPEM)
	if err != nil {
		return nil, err
	}
	id.roots.AddCert(ca)
	return id, nil
}

// bootstrapOptions are the flags of cloud bootstrap-cell.
type bootstrapOptions struct {
	Provider  api.ProviderID
	CellID    api.CellID
	Token     string
	Scheduler string
	CAPin     string
	Dir       string
	// Evidence is what the host's cloud is to say of it: KIND or KIND:FILE. Metadata is the address of
	// its metadata service, where it is not the usual one.
	Evidence, Metadata string
	// Waiting is told what is waited for; nil is nobody.
	Waiting func(why error)
}

// BootstrapCell is grafos cloud bootstrap-cell.
func BootstrapCell() *cobra.Command {
	var o bootstrapOptions
	var provider, cell, tokenFile string
	cmd := &cobra.Command{
		Use:   "bootstrap-cell",
		Short: "Give this host the identity of a cell",
		Long: `Give this host the identity of a cell: make a key here, have it certified with a
bootstrap token (grafos admin bootstrap-token), and write the identity folder that
grafos cell-agent starts from. The token carries the fingerprint of the cluster's CA, so
that the first contact is authenticated both ways. Repeating it with the same token on the
same folder is safe.

Where the provider asks for it, the host's cloud vouches for the key: --evidence aws, gcp or
azure gets the host's identity document from the cloud's metadata service and sends it.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			u := ui.From(cmd.Context())
			o.Provider, o.CellID = api.ProviderID(provider), api.CellID(cell)
			token, err := readToken(tokenFile, cmd.InOrStdin())
			if err != nil {
				return err
			}
			o.Token, o.Waiting = token, u.Waiting
			ctx, cancel := u.Bound(cmd.Context())
			defer cancel()
			about, err := bootstrapCell(ctx, o)
			if err != nil {
				return err
			}
			return u.Print(about, func(p *ui.Page) {
				p.Name(string(about.CellID))
				p.Text(fmt.Sprintf("cell %s of provider %s has its identity in %s, valid until %s", about.CellID, about.Provider, o.Dir, about.NotAfter.Format(time.RFC3339)))
				p.Text("start it: grafos cell-agent --identity " + o.Dir + " --data-dir DIR")
			})
		},
	}
	f := cmd.Flags()
	f.StringVar(&provider, "provider", "", "provider of the cell")
	f.StringVar(&cell, "cell-id", "", "id of the cell, unique in the cluster")
	f.StringVar(&tokenFile, "token-file", "", "file with the bootstrap token, - for standard input")
	f.StringVar(&o.Scheduler, "scheduler", "", "address of a scheduler, https://host:port; several with commas")
	f.StringVar(&o.CAPin, "ca-pin", "", "SHA-256 of the cluster's CA, where the token carries none")
	f.StringVar(&o.Dir, "dir", "grafos-cell", "folder to write the identity to")
	f.StringVar(&o.Evidence, "evidence", "", "what the cloud says of this host: aws, gcp or azure, or one of them with a file, such as aws:FILE")
	f.StringVar(&o.Metadata, "metadata", "", "address of the cloud's metadata service (default: "+metadataURL+")")
	return cmd
}

// maxTokenFile bounds a bootstrap token's file in bytes.
const maxTokenFile = 8 << 10

func readToken(file string, stdin io.Reader) (string, error) {
	if file == "" {
		return "", api.Refuse(api.InvalidArgument, "--token-file is not given").
			WithHint("mint a token where the cluster's material is: grafos admin bootstrap-token --provider P --cell-id ID")
	}
	var b []byte
	var err error
	if file == "-" {
		b, err = io.ReadAll(io.LimitReader(stdin, maxTokenFile+1))
		if err == nil && len(b) > maxTokenFile {
			err = api.Refuse(api.TooLarge, "standard input has more than %s; at most that is read", api.FormatSize(maxTokenFile))
		}
	} else {
		b, err = ui.ReadBounded(file, maxTokenFile)
	}
	if _, ok := api.AsError(err); ok {
		return "", fmt.Errorf("read the bootstrap token: %w", err)
	}
	if err != nil {
		return "", api.Refuse(api.InvalidArgument, "read the bootstrap token: %v", err)
	}
	return strings.TrimSpace(string(b)), nil
}

// bootstrapCell trades the token for a certificate and writes the identity folder. What is
// half done is taken up again: the key stays the same.
func bootstrapCell(ctx context.Context, o bootstrapOptions) (*cellAbout, error) {
	if err := api.CheckName("provider", string(o.Provider)); err != nil {
		return nil, err
	}
	if err := api.CheckName("cell id", string(o.CellID)); err != nil {
		return nil, err
	}
	pin := o.CAPin
	claims, err := pki.PeekBootstrap(o.Token)
	switch {
	case err == nil && claims.CAPin != "":
		pin = claims.CAPin
	case err != nil && pin == "" && !issuer.Foreign(o.Token):
		return nil, err
	case pin == "":
		return nil, api.Refuse(api.InvalidArgument, "the token carries no fingerprint of the cluster's CA and --ca-pin is not given").
			WithHint("take it where the material is: the ca_pin of grafos admin init-ca --json")
	}
	if o.Scheduler == "" {
		return nil, api.Refuse(api.InvalidArgument, "--scheduler is not given")
	}
	schedulers, err := schedulerURLs("scheduler", strings.Split(o.Scheduler, ","))
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("make identity folder: %w", err)
	}
	csr, key, err := requestOf(o)
	if err != nil {
		return nil, err
	}
	_, spki, err := pki.ParseCSR(csr)
	if err != nil {
		return nil, err
	}
	evidence, err := evidenceOf(ctx, o.Evidence, o.Metadata, attest.Binding{CAPin: pin, SPKI: spki})
	if err != nil {
		return nil, err
	}
	c, err := client.New(client.Config{URLs: schedulers, TLS: pki.PinnedTLS(pin), Waiting: o.Waiting, Log: hclog.NewNullLogger()})
	if err != nil {
		return nil, err
	}
	answer, err := c.Bootstrap(ctx, api.BootstrapRequest{Token: o.Token, Provider: o.Provider, CellID: o.CellID, CSR: string(csr), Evidence: evidence})
	if err = errors.Join(err, c.Close()); err != nil {
		return nil, err
	}
	return writeCell(o, answer, pin, key)
}

// requestOf returns a request of the key that the folder has for this cell, or makes both and keeps them. They outlive
// the try: whoever repeats it has the same key.
func requestOf(o bootstrapOptions) (csr, key []byte, err error) {
	key, err = keyOf(o)
	if errors.Is(err, fs.ErrNotExist) {
		return newRequest(o)
	}
	if err != nil {
		return nil, nil, err
	}
	again, err := pki.RequestOf(key)
	if err != nil {
		return nil, nil, fmt.Errorf("ask again for the key in %s: %w", o.Dir, err)
	}
	csrPath := filepath.Join(o.Dir, cellCSRFile)
	if csr, err = ui.ReadBounded(csrPath, pki.MaxCSR); err == nil && sameKey(csr, again) {
		return csr, key, nil
	}
	// There is none, or one of the key before: an agent renews its certificate with a new key.
	if err := os.WriteFile(csrPath, again, 0o600); err != nil {
		return nil, nil, fmt.Errorf("keep the request: %w", err)
	}
	return again, key, nil
}

// sameKey reports whether two requests are of one key.
func sameKey(a, b []byte) bool {
	_, of, err := pki.ParseCSR(a)
	_, is, err2 := pki.ParseCSR(b)
	return err == nil && err2 == nil && of == is
}

func newRequest(o bootstrapOptions) (csr, key []byte, err error) {
	if csr, key, err = pki.NewCSR(); err != nil {
		return nil, nil, err
	}
	// The key first: a request without its key would be useless.
	if err := os.WriteFile(filepath.Join(o.Dir, cellNewKey), key, 0o600); err != nil {
		return nil, nil, fmt.Errorf("keep the key: %w", err)
	}
	if err := os.WriteFile(filepath.Join(o.Dir, cellCSRFile), csr, 0o600); err != nil {
		return nil, nil, fmt.Errorf("keep the request: %w", err)
	}
	return csr, key, nil
}

// keyOf returns the key that the folder has for this cell: the pending one, or that of its identity. A key of which it
// does not say that it is this cell's is left alone: it may be the only one of another cell.
func keyOf(o bootstrapOptions) ([]byte, error) {
	key, err := os.ReadFile(filepath.Join(o.Dir, cellNewKey))
	if err == nil {
		return key, nil
	}
	if errors.Is(err, fs.ErrNotExist) {
		key, err = os.ReadFile(filepath.Join(o.Dir, cellKeyFile))
	}
	if err != nil {
		return nil, fmt.Errorf("read the key in %s: %w", o.Dir, err)
	}
	var about cellAbout
	b, err := ui.ReadBounded(filepath.Join(o.Dir, cellAboutFile), 1<<16)
	if err == nil && json.Unmarshal(b, &about) == nil && about.Provider == o.Provider && about.CellID == o.CellID {
		return key, nil
	}
	whose := "a key, and nothing says that it is of cell " + string(o.CellID)
	if about.CellID != "" {
		whose = fmt.Sprintf("the key of cell %s of provider %s", ui.Clean(string(about.CellID)), ui.Clean(string(about.Provider)))
	}
	return nil, api.Refuse(api.Conflict, "%s holds %s: it would be lost", filepath.Join(o.Dir, cellKeyFile), whose).
		WithHint("give another folder with --dir, or move this one away")
}

func writeCell(o bootstrapOptions, a *api.BootstrapAnswer, pin string, key []byte) (*cellAbout, error) {
	if _, err := pki.PinnedPool([]byte(a.CA), pin); err != nil {
		return nil, err
	}
	cred := &pki.Credential{CertPEM: pki.Chain([]byte(a.Certificate), []byte(a.CA)), KeyPEM: key}
	cert, err := cred.TLS()
	if err != nil {
		return nil, err
	}
	if err := cred.Write(filepath.Join(o.Dir, cellCertFile), filepath.Join(o.Dir, cellKeyFile)); err != nil {
		return nil, err
	}
	about := &cellAbout{
		ClusterID: a.ClusterID, Provider: o.Provider, CellID: o.CellID, Schedulers: a.Schedulers, NotAfter: cert.Leaf.NotAfter,
	}
	if len(about.Schedulers) == 0 {
		about.Schedulers = strings.Split(o.Scheduler, ",")
	}
	b, err := json.MarshalIndent(about, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("encode identity: %w", err)
	}
	if err := os.WriteFile(filepath.Join(o.Dir, cellCAFile), []byte(a.CA), 0o600); err != nil {
		return nil, fmt.Errorf("write identity: %w", err)
	}
	// The folder is an identity only when this file is there: it comes last.
	if err := os.WriteFile(filepath.Join(o.Dir, cellAboutFile), append(b, '\n'), 0o600); err != nil {
		return nil, fmt.Errorf("write identity: %w", err)
	}
	if err := os.Remove(filepath.Join(o.Dir, cellNewKey)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("clear identity folder: %w", err)
	}
	return about, nil
}
