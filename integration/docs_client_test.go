package integration

import (
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/hashicorp/go-hclog"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/capbroker/holder"
	"github.com/grafos/grafos/capbroker/pki"
)

// TestDocsProof: what docs/leases.md says of a proof gives the bytes of its example, by the page's words
// alone, and the cell's code makes and takes the same header.
func TestDocsProof(t *testing.T) {
	said := proofExample(t)
	seed := make([]byte, ed25519.SeedSize)
	for i := range seed {
		seed[i] = byte(i)
	}
	private := ed25519.NewKeyFromSeed(seed)
	spki, err := x509.MarshalPKIXPublicKey(private.Public())
	if err != nil {
		t.Fatal(err)
	}
	token, body := sha256.Sum256([]byte(said["token"])), sha256.Sum256([]byte(said["body"]))
	span := le64(number(t, said["offset"]))
	span = append(span, le64(uint64(len(said["body"])))...)
	signed := le64(8)
	for _, piece := range [][]byte{
		[]byte("grafos proof 1"), []byte("write"), []byte(said["lease"]), []byte(said["cell"]), token[:], span, body[:], []byte(said["nonce"]),
	} {
		signed = append(append(signed, le64(uint64(len(piece)))...), piece...)
	}
	b64 := base64.RawURLEncoding.EncodeToString
	header := b64(spki) + "." + said["nonce"] + "." + b64(ed25519.Sign(private, signed))
	named := sha256.Sum256(spki)
	for name, want := range map[string]string{"signed": hex.EncodeToString(signed), "Grafos-Proof": header, "holder": b64(named[:])} {
		if said[name] != want {
			t.Errorf("the page says that %s is\n%s\nby its own words it is\n%s", name, said[name], want)
		}
	}

	request := holder.Request{
		Op: "write", Lease: api.LeaseID(said["lease"]), Cell: api.CellID(said["cell"]), Token: said["token"],
		Offset: int64(number(t, said["offset"])), Length: int64(len(said["body"])), Body: body,
	}
	key, err := holder.NewKey(private)
	if err != nil {
		t.Fatal(err)
	}
	if made, err := key.Prove(request, said["nonce"]); err != nil || made != header || key.Thumbprint().String() != said["holder"] {
		t.Errorf("the code proves it with\n%s of key %s, %v", made, key.Thumbprint(), err)
	}
	if nonce, err := holder.Verify(said["Grafos-Proof"], key.Thumbprint(), request); err != nil || nonce != said["nonce"] {
		t.Errorf("the page's proof: nonce %q, %v", nonce, err)
	}
}

// proofExample reads the page's example, a value of many lines as one.
func proofExample(t *testing.T) map[string]string {
	t.Helper()
	_, rest, _ := strings.Cut(readPage(t, "../docs/leases.md"), "### The proof, byte for byte")
	block := regexp.MustCompile("(?s)```text\n(.*?)```").FindStringSubmatch(rest)
	if block == nil {
		t.Fatal("the page has no example of a proof")
	}
	said, name := map[string]string{}, ""
	for line := range strings.Lines(block[1]) {
		if words := strings.Fields(line); line[0] != ' ' {
			name = words[0]
			said[name] = words[1]
		} else {
			said[name] += words[0]
		}
	}
	return said
}

// le64 is a number of 64 bits, the lowest byte first.
func le64(n uint64) []byte {
	b := make([]byte, 8)
	for i := range b {
		b[i] = byte(n >> (8 * i))
	}
	return b
}

func number(t *testing.T, s string) uint64 {
	t.Helper()
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// TestDocsVerifyCell: a cell's certificate fails the check of the host name and passes those of
// docs/leases.md; the page's lines do what its words say, where the host has a Python.
func TestDocsVerifyCell(t *testing.T) {
	m, err := pki.InitMaterial(t.TempDir(), pki.InitOptions{ClusterID: "g-1"})
	if err != nil {
		t.Fatal(err)
	}
	mine, err := m.Issue(pki.CertRequest{Identity: pki.Identity{Role: api.RoleTenant, Name: "acme"}})
	if err != nil {
		t.Fatal(err)
	}
	pair, err := mine.TLS()
	if err != nil {
		t.Fatal(err)
	}
	at := servedCell(t, m).Listener.Addr().String()
	ordinary := &tls.Config{MinVersion: tls.VersionTLS13, RootCAs: m.Pool(), Certificates: []tls.Certificate{pair}}
	if _, err := (&tls.Dialer{Config: ordinary}).DialContext(t.Context(), "tcp", at); err == nil || !strings.Contains(err.Error(), "doesn't contain any IP SANs") {
		t.Errorf("the ordinary check: %v", err)
	}
	for uri, fails := range map[string]bool{"spiffe://g-1/cell/aws/aws-1": false, "spiffe://g-1/cell/aws/aws-2": true} {
		conn, err := (&tls.Dialer{Config: byPage(m, pair, uri)}).DialContext(t.Context(), "tcp", at)
		if err == nil {
			_ = conn.Close()
		}
		if (err != nil) != fails {
			t.Errorf("whoever expects %s: %v", uri, err)
		}
		pagePython(t, m, mine, at, uri, fails)
	}
}

// servedCell is a listener as a cell's data plane has it, with the certificate of aws-1.
func servedCell(t *testing.T, m *pki.Material) *httptest.Server {
	t.Helper()
	cell, err := m.Issue(pki.CertRequest{Identity: pki.Identity{Role: api.RoleCell, Provider: "aws", Cell: "aws-1"}})
	if err != nil {
		t.Fatal(err)
	}
	pair, err := cell.TLS()
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewUnstartedServer(http.NotFoundHandler())
	s.Config.ErrorLog = hclog.NewNullLogger().StandardLogger(nil)
	s.Listener = tls.NewListener(s.Listener, pki.ServerTLS(pki.ServerOptions{
		Cert: func() (*tls.Certificate, error) { return &pair, nil }, Roots: m.Pool(), ClusterID: "g-1",
		Clients: tls.RequireAndVerifyClientCert, Roles: []api.Role{api.RoleOperator, api.RoleTenant}, Log: hclog.NewNullLogger(),
	}))
	s.Start()
	t.Cleanup(s.Close)
	return s
}

// byPage makes the checks that the page lists, with nothing of ours.
func byPage(m *pki.Material, own tls.Certificate, uri string) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{own}, InsecureSkipVerify: true,
		VerifyConnection: func(s tls.ConnectionState) error {
			leaf := s.PeerCertificates[0]
			if _, err := leaf.Verify(x509.VerifyOptions{Roots: m.Pool(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}); err != nil {
				return fmt.Errorf("verify: %w", err)
			}
			if len(leaf.URIs) != 1 || leaf.URIs[0].String() != uri {
				return fmt.Errorf("the server is %v", leaf.URIs)
			}
			return nil
		},
	}
}

// pagePython runs the page's lines.
func pagePython(t *testing.T, m *pki.Material, own *pki.Credential, at, uri string, fails bool) {
	t.Helper()
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Log("no python3 here: the page's lines were not run")
		return
	}
	_, rest, _ := strings.Cut(readPage(t, "../docs/leases.md"), "### Verifying a cell")
	lines := regexp.MustCompile("(?s)```python\n(.*?)```").FindStringSubmatch(rest)
	if lines == nil {
		t.Fatal("the page has no lines of Python")
	}
	dir, names := t.TempDir(), strings.Split(strings.TrimPrefix(uri, "spiffe://"), "/")
	for name, text := range map[string][]byte{"ca.pem": m.CAPEM, "cert.pem": own.CertPEM, "key.pem": own.KeyPEM} {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.CommandContext(t.Context(), python, "-")
	cmd.Dir = dir
	cmd.Stdin = io.MultiReader(strings.NewReader(fmt.Sprintf(
		"import http.client, ssl, urllib.parse\ncluster = %q\nlease = {'coordinate': 'https://%s/v1/leases/l-1', 'provider': %q, 'cell_id': %q}\n",
		names[0], at, names[2], names[3])), strings.NewReader(lines[1]))
	out, err := cmd.CombinedOutput()
	if fails != strings.Contains(string(out), "the server is ['spiffe://g-1/cell/aws/aws-1']") || (err != nil) != fails {
		t.Errorf("the page's lines, for whoever expects %s: %v\n%s", uri, err, out)
	}
}
