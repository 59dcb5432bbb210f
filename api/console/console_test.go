package console

import (
	"bytes"
	"compress/gzip"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/grafos/grafos/api"
)

// TestEventNames: a browser hands out the events that it is told the names of, so the page must name
// all there are about leases, cells and providers, by the labels that they have everywhere.
func TestEventNames(t *testing.T) {
	source, err := os.ReadFile("web/src/data/stream.ts")
	if err != nil {
		t.Fatal(err)
	}
	kinds, err := os.ReadFile("../../fsm/audit.go")
	if err != nil {
		t.Fatal(err)
	}
	types := api.LeaseEventTypes()
	for _, m := range regexp.MustCompile(`= "((?:cell|provider|inventory|mass)_[a-z_]+)"`).FindAllSubmatch(kinds, -1) {
		types = append(types, string(m[1]))
	}
	if len(types) < len(api.LeaseEventTypes())+10 {
		t.Errorf("only %v are known", types)
	}
	for _, typ := range types {
		if !strings.Contains(string(source), "'"+typ+"'") {
			t.Errorf("the page does not listen for %s", typ)
		}
	}
}

func ask(method, target string) *httptest.ResponseRecorder {
	rec := httptest.NewRecorder()
	Handler().ServeHTTP(rec, httptest.NewRequest(method, target, http.NoBody))
	return rec
}

func TestPaths(t *testing.T) {
	const none, kept = "no-store", "public, max-age=31536000, immutable"
	script := asset(t, ".js")
	for name, c := range map[string]struct {
		method, path string
		status       int
		kind, cache  string
	}{
		"the page":                {"GET", "/admin/stats", 200, "text/html; charset=utf-8", none},
		"the page, head":          {"HEAD", "/admin/stats", 200, "text/html; charset=utf-8", none},
		"a page below":            {"GET", "/admin/stats/cells", 200, "text/html; charset=utf-8", none},
		"the page with a query":   {"GET", "/admin/stats?x=1", 200, "text/html; charset=utf-8", none},
		"script":                  {"GET", script, 200, "text/javascript; charset=utf-8", kept},
		"style":                   {"GET", asset(t, ".css"), 200, "text/css; charset=utf-8", kept},
		"icon":                    {"GET", asset(t, ".svg"), 200, "image/svg+xml", kept},
		"home":                    {"GET", "/admin/", 302, "text/html; charset=utf-8", none},
		"home without a slash":    {"GET", "/admin", 302, "text/html; charset=utf-8", none},
		"an asset of another age": {"GET", "/admin/assets/index-00000000.js", 404, "text/plain; charset=utf-8", none},
		"the assets themselves":   {"GET", "/admin/assets/", 404, "text/plain; charset=utf-8", none},
		"index by its name":       {"GET", "/admin/index.html", 404, "text/plain; charset=utf-8", none},
		"no such page":            {"GET", "/admin/nothing", 404, "text/plain; charset=utf-8", none},
		"a page that only begins": {"GET", "/admin/statsx", 404, "text/plain; charset=utf-8", none},
		"out of the bundle":       {"GET", "/admin/assets/../../console.go", 404, "text/plain; charset=utf-8", none},
		"back to index":           {"GET", "/admin/assets/../index.html", 404, "text/plain; charset=utf-8", none},
		"another's path":          {"GET", "/api/v1/cells", 404, "text/plain; charset=utf-8", none},
		"a write":                 {"POST", "/admin/stats", 405, "text/plain; charset=utf-8", none},
	} {
		t.Run(name, func(t *testing.T) {
			r := ask(c.method, c.path)
			if r.Code != c.status {
				t.Fatalf("%s %s: status %d, want %d", c.method, c.path, r.Code, c.status)
			}
			if got := r.Header().Get("Content-Type"); got != c.kind {
				t.Errorf("Content-Type %q, want %q", got, c.kind)
			}
			if got := r.Header().Get("Cache-Control"); got != c.cache {
				t.Errorf("Cache-Control %q, want %q", got, c.cache)
			}
			if got := r.Header().Get("X-Content-Type-Options"); got != "nosniff" {
				t.Errorf("X-Content-Type-Options %q, want nosniff", got)
			}
			if got := r.Header().Get("Content-Security-Policy"); got != policy {
				t.Errorf("Content-Security-Policy %q", got)
			}
			if c.method == http.MethodHead && r.Body.Len() > 0 {
				t.Errorf("HEAD is answered with %d bytes", r.Body.Len())
			}
		})
	}
}

func TestHomeLeadsToInfrastructure(t *testing.T) {
	if got := ask(http.MethodGet, "/admin/").Header().Get("Location"); got != "/admin/stats#infrastructure" {
		t.Errorf("Location %q, want /admin/stats#infrastructure", got)
	}
}

func TestPolicyAllowsNothingInlineOrForeign(t *testing.T) {
	for _, bad := range []string{"unsafe", "data:", "http:", "https:", "*", "blob:"} {
		if strings.Contains(policy, bad) {
			t.Errorf("the policy allows %s: %s", bad, policy)
		}
	}
	if !strings.HasPrefix(policy, "default-src 'none';") {
		t.Errorf("the policy does not begin with default-src 'none': %s", policy)
	}
}

// TestPageKeepsThePolicy reads what is served: a page that needed more than the policy
// allows would be blank in a browser, and no request may leave its origin.
func TestPageKeepsThePolicy(t *testing.T) {
	page := ask(http.MethodGet, "/admin/stats").Body.String()
	for _, tag := range regexp.MustCompile(`<script[^>]*>`).FindAllString(page, -1) {
		if !strings.Contains(tag, `src="/admin/assets/`) {
			t.Errorf("a script that is not an asset: %s", tag)
		}
	}
	for _, bad := range []string{"<style", " style=", " onload=", "javascript:"} {
		if strings.Contains(page, bad) {
			t.Errorf("index.html contains %q, which the policy forbids", bad)
		}
	}
	refs := regexp.MustCompile(`(?:src|href)="([^"]*)"`).FindAllStringSubmatch(page, -1)
	if len(refs) < 3 {
		t.Fatalf("index.html refers to %d files, want a script, a style and an icon", len(refs))
	}
	for _, ref := range refs {
		if r := ask(http.MethodGet, ref[1]); r.Code != http.StatusOK {
			t.Errorf("index.html refers to %s, which is answered %d", ref[1], r.Code)
		}
	}
	style := ask(http.MethodGet, asset(t, ".css")).Body.String()
	if strings.Contains(style, "url(") || strings.Contains(style, "@import") {
		t.Error("the style loads something")
	}
}

// TestBundle keeps the bundle small, of nothing but hashed files, and all of it in use.
func TestBundle(t *testing.T) {
	const limit = 60_000
	hashed := regexp.MustCompile(`^dist/assets/[a-zA-Z0-9.]+-[\w-]{8}\.(js|css|svg|woff2)$`)
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	err := fs.WalkDir(dist, "dist", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		if name != "dist/index.html" && !hashed.MatchString(name) {
			t.Errorf("%s is neither the page nor an asset with a hash in its name", name)
		}
		body, err := dist.ReadFile(name)
		if err != nil {
			return err
		}
		_, err = z.Write(body)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	if packed.Len() > limit {
		t.Errorf("the bundle is %d bytes compressed, want at most %d", packed.Len(), limit)
	}
}

// asset returns the path of the one asset with the extension.
func asset(t *testing.T, ext string) string {
	t.Helper()
	found, err := fs.Glob(dist, "dist/assets/*"+ext)
	if err != nil || len(found) != 1 {
		t.Fatalf("assets with %s: %v (%v), want one", ext, found, err)
	}
	return "/admin/" + strings.TrimPrefix(found[0], "dist/")
}
