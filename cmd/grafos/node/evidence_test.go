package node

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/capbroker/attest"
)

// What a metadata service says beyond a document is no document.
func TestEvidenceOf(t *testing.T) {
	b := attest.Binding{CAPin: "sha256:ab", SPKI: "cd"}
	var asked string
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case strings.HasPrefix(r.URL.Path, "/long"):
			_, _ = w.Write(make([]byte, api.MaxEvidence+1))
		case strings.HasPrefix(r.URL.Path, "/none"):
		case strings.HasPrefix(r.URL.Path, "/moved"):
			http.Redirect(w, r, "/good", http.StatusFound)
		case strings.HasPrefix(r.URL.Path, "/good"):
			asked = r.Method + " " + r.URL.RequestURI()
			_, _ = w.Write([]byte("a document"))
		default:
			http.NotFound(w, r)
		}
	}))
	defer s.Close()
	for kind, want := range map[string]string{
		"aws":   "GET /good/latest/dynamic/instance-identity/rsa2048",
		"gcp":   "GET /good/computeMetadata/v1/instance/service-accounts/default/identity?audience=grafos%3A%2F%2Fsha256%3Aab%2Fcd&format=full",
		"azure": "GET /good/metadata/attested/document?api-version=2021-02-01&nonce=" + b.Nonce(),
	} {
		d, err := evidenceOf(t.Context(), kind, s.URL+"/good/", b)
		if err != nil || d.Document != "a document" || string(d.Kind) != kind || asked != want {
			t.Errorf("%s: %+v, %v, asked %s", kind, d, err, asked)
		}
		for path, words := range map[string]string{"/long": "more than 16 KiB", "/none": "nothing", "/moved": "302", "/other": "404"} {
			if _, err := evidenceOf(t.Context(), kind, s.URL+path, b); api.KindOf(err) != api.InvalidArgument || !strings.Contains(err.Error(), words) {
				t.Errorf("%s %s: %v", kind, path, err)
			}
		}
	}
	file := filepath.Join(t.TempDir(), "doc")
	if err := os.WriteFile(file, []byte("from a file"), 0o600); err != nil {
		t.Fatal(err)
	}
	if d, err := evidenceOf(t.Context(), "aws:"+file, "", b); err != nil || d.Document != "from a file" {
		t.Errorf("%+v, %v", d, err)
	}
	if d, err := evidenceOf(t.Context(), "", "", b); err != nil || d != nil {
		t.Errorf("none: %+v, %v", d, err)
	}
	for _, what := range []string{"oracle", "aws:" + file + ".none", ":", "AWS"} {
		if d, err := evidenceOf(t.Context(), what, "", b); err == nil {
			t.Errorf("%s: %+v", what, d)
		}
	}
}
