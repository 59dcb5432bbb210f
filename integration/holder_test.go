package integration

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/capbroker/holder"
)

// keyFile makes a key and returns the files of its private and its public half.
func (d *door) keyFile(t *testing.T, name string) (private, public string) {
	t.Helper()
	pub, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	open, err := x509.MarshalPKIXPublicKey(pub)
	if err != nil {
		t.Fatal(err)
	}
	for suffix, block := range map[string]*pem.Block{".key": {Type: "PRIVATE KEY", Bytes: secret}, ".pub": {Type: "PUBLIC KEY", Bytes: open}} {
		if err := os.WriteFile(filepath.Join(d.scratch, name+suffix), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(d.scratch, name+".key"), filepath.Join(d.scratch, name+".pub")
}

// testHolders uses leases through schedulers and straight, as those whom their tokens name, and
// as others.
func (d *door) testHolders(t *testing.T) {
	defer d.sound(t)
	request := func(t *testing.T, args ...string) api.Grant {
		t.Helper()
		var set api.GrantSet
		d.into(t, &set, append([]string{"lease", "request", "--provider", "local", "--tenant", "acme", "--ttl", "5m"}, args...)...)
		return set.Leases[0]
	}
	file := func(t *testing.T, name, text string) string {
		t.Helper()
		name = filepath.Join(d.scratch, name)
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	reads := func(t *testing.T, want string, args ...string) {
		t.Helper()
		if said := d.exec(t, nil, append([]string{"lease", "read"}, args...)...); said.Code != 0 || string(said.Stdout) != want {
			t.Errorf("%v: exit %d, %d bytes, %s", args, said.Code, len(said.Stdout), said.Stderr)
		}
	}
	key, public := d.keyFile(t, "holder")
	friend, friendly := d.keyFile(t, "friend")

	t.Run("through a scheduler", func(t *testing.T) {
		g := request(t, "--block", "16M")
		id, data := string(g.ID), bytes.Repeat([]byte("0123456789abcdef"), 10<<20/16)
		d.mustInput(t, data, "lease", "write", id, "--offset", "5", "--via", "relay")
		reads(t, string(data), id, "--offset", "5", "--length", "10M", "--via", "direct")
		reads(t, string(data), id, "--offset", "5", "--length", "10M", "--via", "relay")
		d.refuse(t, api.InvalidArgument, 2, "past the end", "lease", "read", id, "--offset", "16M", "--length", "1", "--via", "relay")
		d.refuse(t, api.BadSignature, 6, "", "lease", "read", id, "--length", "1", "--via", "relay", "--lease-token", file(t, "bent", "v4.public.nonsense"))
		d.must(t, "lease", "free", id)
		d.refuse(t, api.LeaseRevoked, 6, "released", "lease", "read", id, "--length", "1", "--via", "relay", "--lease-token", file(t, "late", g.Token))
	})
	t.Run("as its holder", func(t *testing.T) {
		g := request(t, "--mem", "1M", "--holder-key", public)
		id := string(g.ID)
		if g.Holder == "" {
			t.Fatalf("the lease is nobody's: %+v", g)
		}
		stolen := file(t, "stolen", g.Token)
		for _, via := range []string{"direct", "relay"} {
			d.refuse(t, api.Unauthenticated, 6, "for the holder of key", "lease", "read", id, "--length", "1", "--via", via, "--lease-token", stolen)
			d.refuse(t, api.BadSignature, 6, "", "lease", "read", id, "--length", "1", "--via", via, "--lease-token", stolen, "--holder-key", friend)
			data := bytes.Repeat([]byte(via), 100_000) // some proofs
			d.mustInput(t, data, "lease", "write", id, "--offset", "9", "--via", via, "--holder-key", key)
			reads(t, string(data), id, "--offset", "9", "--length", strconv.Itoa(len(data)), "--via", via, "--holder-key", key)
		}
	})
	t.Run("narrowed", func(t *testing.T) {
		g := request(t, "--mem", "64K", "--holder-key", public)
		id, token := string(g.ID), file(t, "root", g.Token)
		narrow := func(name, key, from string, args ...string) string {
			said := d.exec(t, nil, append([]string{"lease", "token", id, "--narrow", "--lease-token", from, "--holder-key", key}, args...)...)
			if said.Code != 0 {
				t.Fatalf("%s: exit %d, %s", name, said.Code, said.Stderr)
			}
			return file(t, name, string(said.Stdout))
		}
		given := narrow("given", key, token, "--ops", "read", "--offset", "4K", "--length", "4K", "--for", friendly)
		at := []string{id, "--lease-token", given, "--holder-key", friend}
		reads(t, string(make([]byte, 4096)), append(at, "--offset", "4K", "--length", "4K")...)
		d.refuse(t, api.CaveatFailed, 6, "narrowed", append([]string{"lease", "read", "--length", "1"}, at...)...)
		d.refuse(t, api.CaveatFailed, 6, "narrowed", append([]string{"lease", "read", "--offset", "4K", "--length", "4097"}, at...)...)
		if said := d.exec(t, []byte("x"), append([]string{"lease", "write", "--offset", "4K", "--json"}, at...)...); said.Code != 6 {
			t.Errorf("a write with it: exit %d, %s", said.Code, said.Stderr)
		}
		d.refuse(t, api.BadSignature, 6, "", "lease", "read", id, "--offset", "4K", "--length", "1", "--lease-token", given, "--holder-key", key)
		further := narrow("further", friend, given, "--ops", "read,write", "--max-bytes", "16")
		d.refuse(t, api.CaveatFailed, 6, "16 bytes", "lease", "read", id, "--offset", "4K", "--length", "17", "--lease-token", further, "--holder-key", friend)
		reads(t, string(make([]byte, 16)), id, "--offset", "4K", "--length", "16", "--lease-token", further, "--holder-key", friend)
		// Who is not the holder is not helped, and has to forge a link.
		d.refuse(t, api.InvalidArgument, 2, "is for the key", "lease", "token", id, "--narrow", "--lease-token", token, "--holder-key", friend, "--ops", "read")
		forged := file(t, "forged", forgedLink(t, friend, g.Token))
		d.refuse(t, api.BadSignature, 6, "holder's is", "lease", "read", id, "--length", "1", "--lease-token", forged, "--holder-key", friend)
	})
	t.Run("own certificate", func(t *testing.T) {
		g := request(t, "--mem", "64K", "--holder-key", "self")
		for _, via := range []string{"direct", "relay"} {
			d.mustInput(t, []byte(via), "lease", "write", string(g.ID), "--via", via)
			reads(t, via, string(g.ID), "--length", strconv.Itoa(len(via)), "--via", via)
		}
	})
	t.Run("too long an input", func(t *testing.T) {
		g := request(t, "--block", "6M")
		said := d.exec(t, bytes.Repeat([]byte{1}, 6<<20+1), "lease", "write", string(g.ID), "--json")
		if said.Code != 2 {
			t.Errorf("exit %d: %s", said.Code, said.Stderr)
		}
		reads(t, string(make([]byte, 6<<20)), string(g.ID))
	})
	freeAll(t, d, "acme")
}

// forgedLink narrows a token with a key that is not its holder's.
func forgedLink(t *testing.T, keyFile, token string) string {
	t.Helper()
	text, err := os.ReadFile(keyFile)
	if err != nil {
		t.Fatal(err)
	}
	key, err := holder.ParseKey(text)
	if err != nil {
		t.Fatal(err)
	}
	forged, err := key.Narrow(token, holder.Link{Caveats: holder.Caveats{Ops: []string{"read"}}})
	if err != nil {
		t.Fatal(err)
	}
	return forged
}
