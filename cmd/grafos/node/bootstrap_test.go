package node

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/capbroker/pki"
)

// TestBootstrapKeepsKeys: what a host has of a cell's key is used again, and what may be another's is never replaced.
func TestBootstrapKeepsKeys(t *testing.T) {
	about := func(cell api.CellID) []byte {
		b, err := json.Marshal(cellAbout{Provider: "aws", CellID: cell})
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	fresh := func() (csr, key []byte) {
		csr, key, err := pki.NewCSR()
		if err != nil {
			t.Fatal(err)
		}
		return csr, key
	}
	csr, key := fresh()
	_, renewed := fresh()
	type files map[string][]byte
	for name, tc := range map[string]struct {
		folder files
		key    []byte // that is asked for; nil is a new one
		csr    []byte // that is sent; nil is another one
		refuse bool
	}{
		"empty":                         {},
		"a try before":                  {folder: files{cellCSRFile: csr, cellNewKey: key}, key: key, csr: csr},
		"a try that was cut off":        {folder: files{cellNewKey: key}, key: key},
		"an identity":                   {folder: files{cellCSRFile: csr, cellKeyFile: key, cellAboutFile: about("aws-1")}, key: key, csr: csr},
		"without its request":           {folder: files{cellKeyFile: key, cellAboutFile: about("aws-1")}, key: key},
		"with a renewed key":            {folder: files{cellCSRFile: csr, cellKeyFile: renewed, cellAboutFile: about("aws-1")}, key: renewed},
		"a key alone":                   {folder: files{cellKeyFile: key}, refuse: true},
		"a key and a request":           {folder: files{cellKeyFile: key, cellCSRFile: csr}, refuse: true},
		"another cell's":                {folder: files{cellKeyFile: key, cellAboutFile: about("aws-2")}, refuse: true},
		"another cell's, and a request": {folder: files{cellCSRFile: csr, cellKeyFile: key, cellAboutFile: about("aws-2")}, refuse: true},
		"an identity without a key":     {folder: files{cellAboutFile: about("aws-1")}},
	} {
		t.Run(name, func(t *testing.T) {
			o := bootstrapOptions{Provider: "aws", CellID: "aws-1", Dir: t.TempDir()}
			for file, b := range tc.folder {
				if err := os.WriteFile(filepath.Join(o.Dir, file), b, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			sent, with, err := requestOf(o)
			if got := api.KindOf(err); (got == api.Conflict) != tc.refuse || err != nil && !tc.refuse {
				t.Fatalf("refused with %v", err)
			}
			if was, ok := tc.folder[cellKeyFile]; ok {
				if is, err := os.ReadFile(filepath.Join(o.Dir, cellKeyFile)); err != nil || !bytes.Equal(is, was) {
					t.Errorf("the key is another one: %v", err)
				}
			}
			if tc.refuse {
				if problem := api.Problem(err); problem.Hint == "" {
					t.Error("nothing is said of what to do")
				}
				if _, err := os.Stat(filepath.Join(o.Dir, cellNewKey)); err == nil {
					t.Error("a key was made all the same")
				}
				return
			}
			if tc.key != nil && !bytes.Equal(with, tc.key) || tc.csr != nil && !bytes.Equal(sent, tc.csr) {
				t.Error("another key is asked for")
			}
			if of, err := pki.RequestOf(with); err != nil || !sameKey(sent, of) {
				t.Errorf("the request is not of its key: %v", err)
			}
			if again, key, err := requestOf(o); err != nil || !bytes.Equal(again, sent) || !bytes.Equal(key, with) {
				t.Errorf("the next try asks for another key: %v", err)
			}
		})
	}
}
