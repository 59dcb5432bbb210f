package cli

import (
	"bytes"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/capbroker/holder"
)

// TestOtherKeys: a key that is no holder's is named in words, and so is its file.
func TestOtherKeys(t *testing.T) {
	curve, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	exchange, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	private := func(der []byte, err error) []byte {
		if err != nil {
			t.Fatal(err)
		}
		return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	}
	for words, file := range map[string][]byte{
		"a holder's key is Ed25519 or ECDSA P-256, and this one is ECDSA on P-384  (invalid_argument)": private(x509.MarshalPKCS8PrivateKey(curve)),
		"cannot be read: it is X25519, which does not sign: use Ed25519 or ECDSA P-256":                private(x509.MarshalPKCS8PrivateKey(exchange)),
		"cannot be read: it is damaged, or of another form than its first line says":                   private(x509.MarshalECPrivateKey(curve)),
	} {
		r := newRig(t)
		name := r.file("k.pem", string(file))
		for _, args := range [][]string{
			{"lease", "request", "--provider", "aws", "--mem", "1M", "--holder-key", name},
			{"lease", "token", "l-7f3a01", "--narrow", "--ops", "read", "--holder-key", name},
		} {
			r.run(args...).want(t, 2, "", "Error: "+name+": ")
			r.run(args...).want(t, 2, "", words)
			if p := r.run(append(args, "--json")...).problem(t); !strings.HasPrefix(p.Detail, name+": ") {
				t.Errorf("a program is told %q, and not of which file", p.Detail)
			}
		}
	}
}

// keyPEM makes a key and its file.
func keyPEM(t *testing.T) (*holder.Key, string) {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	key, err := holder.NewKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return key, string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

// A cell that asks for a proof gets one for each request, made with the nonce that it gave last.
func TestHolderProves(t *testing.T) {
	region := bytes.Repeat([]byte("0123456789abcdef"), 3*maxProven/16)
	r := newRig(t)
	r.leases[0].Amount = int64(len(region))
	key, text := keyPEM(t)
	nonce, asked := "n0", 0
	r.http = &http.Client{Transport: cellTransport(func(w http.ResponseWriter, req *http.Request) {
		body, err := io.ReadAll(req.Body)
		if err != nil {
			t.Error(err)
		}
		about := transfer{write: true, length: maxProven, data: body}
		about.offset = int64(asked) * maxProven
		proof := req.Header.Get(holder.ProofHeader)
		if proof == "" {
			p := api.Refuse(api.Unauthenticated, "prove it")
			p.Nonce = nonce
			refuse(w, p)
			return
		}
		got, err := holder.Verify(proof, key.Thumbprint(), holder.Request{
			Op: "write", Lease: "l-7f3a01", Cell: r.leases[0].CellID, Token: "v4.public.fresh", Offset: about.offset, Length: maxProven, Body: sha256.Sum256(body),
		})
		if err != nil || got != nonce {
			t.Errorf("request %d: nonce %q, want %q: %v", asked, got, nonce, err)
		}
		asked++
		nonce += "x"
		w.Header().Set(holder.NonceHeader, nonce)
		req.Body = io.NopCloser(bytes.NewReader(body))
		serveRegion(w, req, region)
	})}
	want := bytes.Repeat([]byte{7}, len(region))
	r.stdin = bytes.NewReader(want)
	r.run("lease", "write", "l-7f3a01", "--holder-key", r.file("key", text)).want(t, 0, "", "")
	if !bytes.Equal(region, want) || asked != 3 {
		t.Errorf("%d proven writes, region is written %v", asked, bytes.Equal(region, want))
	}
	// What is proved in vain is not proved for ever.
	tries := 0
	r.http = &http.Client{Transport: cellTransport(func(w http.ResponseWriter, _ *http.Request) {
		tries++
		p := api.Refuse(api.Unauthenticated, "prove it")
		p.Nonce = "n"
		refuse(w, p)
	})}
	r.run("lease", "read", "l-7f3a01", "--holder-key", r.file("key", text)).want(t, 6, "", "prove it")
	if tries != 2 {
		t.Errorf("it was tried %d times", tries)
	}
}

// alerted is the way to a cell that does not take the caller's certificate.
type alerted struct{}

func (alerted) RoundTrip(*http.Request) (*http.Response, error) {
	return nil, &net.OpError{Op: "remote error", Err: errors.New("tls: bad certificate")}
}

// Whoever a cell does not take, such as a viewer, is not sent to a scheduler that does not take it either.
func TestCertificateThatNoWayTakes(t *testing.T) {
	r := newRig(t)
	r.http = &http.Client{Transport: alerted{}}
	p := r.run("lease", "read", "l-7f3a01", "--json").problem(t)
	if p.Kind != api.Forbidden || strings.Contains(p.Hint, "--via") || !strings.Contains(p.Hint, "for its tenant and for operators") {
		t.Errorf("%s: %q, hint %q", p.Kind, p.Detail, p.Hint)
	}
}

// A cell that no connection can be made to is reached through a scheduler, unless the caller says
// which way.
func TestRelayWhereTheCellIsOutOfReach(t *testing.T) {
	r := newRig(t)
	region := []byte("0123456789")
	r.leases[0].Amount = int64(len(region))
	r.http = &http.Client{Transport: unreached{}}
	r.carry = func(d api.DataRequest) (*api.DataAnswer, error) {
		if d.Token != "v4.public.fresh" || d.Lease != "l-7f3a01" {
			t.Errorf("carried %+v", d)
		}
		if d.Write {
			_, err := io.ReadFull(d.Body, region[d.Offset:d.Offset+d.Length])
			return &api.DataAnswer{}, err
		}
		return &api.DataAnswer{Length: d.Length, Body: io.NopCloser(bytes.NewReader(region[d.Offset : d.Offset+d.Length]))}, nil
	}
	r.run("lease", "read", "l-7f3a01", "--offset", "2").want(t, 0, "23456789", "")
	r.stdin = strings.NewReader("xy")
	r.run("lease", "write", "l-7f3a01", "--offset", "3").want(t, 0, "", "")
	if string(region) != "012xy56789" {
		t.Errorf("region is %q", region)
	}
	r.run("lease", "read", "l-7f3a01", "--via", "relay", "--length", "1").want(t, 0, "0", "")
	r.run("lease", "read", "l-7f3a01", "--via", "direct").want(t, 8, "", "did not answer")
	r.run("lease", "read", "l-7f3a01", "--via", "pigeon").want(t, 2, "", "neither direct nor relay")
}

// unreached is a network without cells.
type unreached struct{}

func (unreached) RoundTrip(*http.Request) (*http.Response, error) {
	return nil, &net.OpError{Op: "dial", Net: "tcp", Err: errors.New("connection refused")}
}

// Narrowing needs nobody but the key and the token.
func TestNarrowOffline(t *testing.T) {
	r := newRig(t)
	_, text := keyPEM(t)
	friend, friendly := keyPEM(t)
	own, err := holder.ParseKey([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	root := rootFor("l-7f3a01", own.Thumbprint().String())
	got := r.run("lease", "token", "l-7f3a01", "--narrow", "--lease-token", r.file("root", root), "--holder-key", r.file("key", text),
		"--ops", "read", "--offset", "4K", "--length", "1K", "--ttl", "10s", "--for", r.file("friend", friendly))
	if got.code != 0 || !strings.HasPrefix(got.out, root+"~") || len(r.calls) != 0 {
		t.Fatalf("exit %d, %s%s, calls %v", got.code, got.out, got.err, r.calls)
	}
	links, whose, err := holder.Links(strings.TrimSpace(got.out), own.Thumbprint())
	if err != nil || len(links) != 1 || whose != friend.Thumbprint() || links[0].Caveats.Offset != 4096 || links[0].Caveats.Length != 1024 || links[0].ExpiresAt.IsZero() {
		t.Errorf("links %+v of %s, %v", links, whose, err)
	}
	_, other := keyPEM(t)
	for name, tc := range map[string]struct {
		args []string
		says string
	}{
		"unknown op":        {[]string{"--ops", "erase"}, "read and write are known"},
		"no token":          {[]string{"--lease-token", r.file("none", "nonsense"), "--ops", "read"}, "no capability token"},
		"no key":            {[]string{"--holder-key", r.file("nokey", "nonsense"), "--ops", "read"}, "no private key"},
		"no friend's key":   {[]string{"--for", r.file("nofriend", "nonsense")}, "nofriend: the file holds no key"},
		"bad ttl":           {[]string{"--ttl", "-1s"}, "take nothing away"},
		"nothing":           {nil, "say what is left"},
		"all of it":         {[]string{"--offset", "0"}, "take nothing away"},
		"an unset variable": {[]string{"--ops="}, "take nothing away"},
		"no length":         {[]string{"--length", "0", "--ops", "read"}, "take nothing away"},
		"no bytes":          {[]string{"--max-bytes", "0"}, "take nothing away"},
		"no time":           {[]string{"--ttl", "0s"}, "take nothing away"},
		"for nobody":        {[]string{"--for", ""}, "is the variable set?"},
		"another key":       {[]string{"--ops", "read", "--holder-key", r.file("other", other)}, "is for the key"},
		"a bearer token":    {[]string{"--ops", "read", "--lease-token", r.file("bearer", rootFor("l-7f3a01", ""))}, "names no holder"},
		"of another lease":  {[]string{"--ops", "read", "--lease-token", r.file("foreign", rootFor("l-0000", own.Thumbprint().String()))}, "not of l-7f3a01"},
		"behind the end":    {[]string{"--offset", "1M", "--length", "1"}, "behind the end"},
	} {
		all := append([]string{"lease", "token", "l-7f3a01", "--narrow", "--lease-token", r.file("root", root), "--holder-key", r.file("key", text)}, tc.args...)
		if got := r.run(all...); got.code != 2 && got.code != 1 || got.out != "" || !strings.Contains(got.err, tc.says) {
			t.Errorf("%s: exit %d, %s%s", name, got.code, got.out, got.err)
		}
	}
}

// An empty LEASE is no lease, also where nobody is asked.
func TestNarrowNeedsALease(t *testing.T) {
	r := newRig(t)
	key, text := keyPEM(t)
	r.run("lease", "token", "", "--narrow", "--ops", "read", "--holder-key", r.file("key", text),
		"--lease-token", r.file("root", rootFor("l-7f3a01", key.Thumbprint().String()))).want(t, 2, "", "is empty")
	r.run("lease", "token", "l-7f3a01", "--narrow", "--ops", "read,write", "--length", "64K", "--holder-key", r.file("key", text),
		"--lease-token", r.file("root", rootFor("l-7f3a01", key.Thumbprint().String()))).want(t, 2, "", "nothing is taken away")
}

// rootFor is a token as a cell mints it, for what it says of itself: nobody verifies it here.
func rootFor(lease, cnf string) string {
	claims := fmt.Sprintf(`{"v":2,"lease":%q,"amount":65536,"exp":"2099-01-01T00:00:00Z","cnf":%q}`, lease, cnf)
	return "v4.public." + base64.RawURLEncoding.EncodeToString(append([]byte(claims), make([]byte, 64)...)) + ".e30"
}

// What takes rights away does not hand out all of them where --narrow was forgotten.
func TestLimitsNeedNarrow(t *testing.T) {
	r := newRig(t)
	_, text := keyPEM(t)
	for _, args := range [][]string{
		{"--ops", "read"},
		{"--ttl", "1s"},
		{"--length", "1"},
		{"--max-bytes", "1"},
		{"--offset", "1"},
		{"--for", r.file("friend", text)},
		{"--lease-token", r.file("t", "x")},
		{"--holder-key", r.file("k", text)},
	} {
		if got := r.run(append([]string{"lease", "token", "l-7f3a01"}, args...)...); got.code != 2 || got.out != "" || !strings.Contains(got.err, "--narrow") {
			t.Errorf("%v: exit %d, %s%s", args, got.code, got.out, got.err)
		}
	}
	r.run("lease", "request", "--provider", "aws", "--mem", "1M", "--holder-key", "").want(t, 2, "", "is the variable set?")
}

// The key of the holder is named in the request.
func TestRequestForAHolder(t *testing.T) {
	r := newRig(t)
	key, text := keyPEM(t)
	r.run("lease", "request", "--provider", "aws", "--mem", "1M", "--holder-key", r.file("key", text))
	if r.lease.Holder != key.Thumbprint().String() {
		t.Errorf("asked for %+v", r.lease)
	}
	r.run("lease", "request", "--provider", "aws", "--mem", "1M", "--holder-key", r.file("bad", "nonsense")).want(t, 2, "", "holds no key")
}

// Standard input is not used before its length is known, wherever it comes from, and is not
// kept longer than it is needed.
func TestSpool(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	for _, tc := range []struct{ length, most, want int64 }{
		{0, 10, 0},
		{10, 10, 10},
		{11, 10, 11},
		{1000, 10, 11},
		{spoolMemory, spoolMemory, spoolMemory},
		{spoolMemory + 5, spoolMemory * 2, spoolMemory + 5},
		{spoolMemory * 3, spoolMemory * 2, spoolMemory*2 + 1},
	} {
		data := bytes.Repeat([]byte{5}, int(tc.length))
		s, err := spool(io.MultiReader(bytes.NewReader(data)), tc.most)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(s)
		if err != nil || s.length != tc.want || int64(len(got)) != tc.want {
			t.Errorf("%+v: length %d, %d bytes, %v", tc, s.length, len(got), err)
		}
		if err := s.close(); err != nil {
			t.Error(err)
		}
	}
	left, err := os.ReadDir(os.Getenv("TMPDIR"))
	if err != nil || len(left) != 0 {
		t.Errorf("%d files are left, %v", len(left), err)
	}
}
