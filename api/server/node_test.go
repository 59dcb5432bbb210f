package server

import (
	"context"
	"encoding/json"
	"flag"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/hashicorp/go-hclog"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/api/console"
)

var rewrite = flag.Bool("rewrite", false, "write testdata anew")

// TestOpenAPI: the document is the committed one, and every described route is in it.
func TestOpenAPI(t *testing.T) {
	n := start(t, nil)
	resp, err := raw(t, api.RoleViewer).Get(n.url + "/api/v1/openapi.json")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	got, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatal(resp.Status, err)
	}
	var doc struct {
		OpenAPI string                                `json:"openapi"`
		Paths   map[string]map[string]json.RawMessage `json:"paths"`
	}
	if err := json.Unmarshal(got, &doc); err != nil || !strings.HasPrefix(doc.OpenAPI, "3.1") {
		t.Fatalf("%v, version %q", err, doc.OpenAPI)
	}
	for _, r := range (&server{}).routes() {
		if strings.HasPrefix(r.path, "/admin/") || r.id == "home" {
			continue // pages
		}
		if doc.Paths[r.path][strings.ToLower(r.method)] == nil {
			t.Errorf("%s %s is not described", r.method, r.path)
		}
	}
	for _, bad := range []string{"$schema", `"ErrorModel"`} {
		if strings.Contains(string(got), bad) {
			t.Errorf("the document has %s", bad)
		}
	}
	const golden = "testdata/openapi.json"
	if *rewrite {
		if err := os.WriteFile(golden, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if string(want) != string(got) {
		t.Errorf("%s differs from what is served: run go test ./api/server -run TestOpenAPI -rewrite and read the diff", golden)
	}
}

// page is an answer that was read.
type page struct {
	status  int
	header  http.Header
	cookies []*http.Cookie
	body    string
}

func body(t *testing.T, c *http.Client, url string) page {
	t.Helper()
	resp, err := c.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return page{resp.StatusCode, resp.Header, resp.Cookies(), string(b)}
}

func TestProbes(t *testing.T) {
	state := api.NodeState{Node: "s1", Leader: "s1", Ready: true, AppliedIndex: 5, CommitIndex: 5}
	var mu sync.Mutex
	n := start(t, func(c *Config) {
		c.Info = func() api.NodeState {
			mu.Lock()
			defer mu.Unlock()
			return state
		}
		c.Metrics = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "up 1\n") })
	})
	c := raw(t, "")
	for _, path := range []string{"/livez", "/health", "/readyz"} {
		if p := body(t, c, n.url+path); p.status != 200 || !json.Valid([]byte(p.body)) {
			t.Errorf("%s: %d %s", path, p.status, p.body)
		}
	}
	if p := body(t, c, n.url+"/ca.pem"); p.status != 200 || p.body != "pem" {
		t.Errorf("ca.pem: %d %s", p.status, p.body)
	}
	if p := body(t, raw(t, api.RoleViewer), n.url+"/metrics"); p.status != 200 || p.body != "up 1\n" {
		t.Errorf("metrics: %d %s", p.status, p.body)
	}
	mu.Lock()
	state.Ready, state.NotReady, state.AppliedIndex = false, "applied 3 of 5", 3
	mu.Unlock()
	p := body(t, c, n.url+"/readyz?verbose")
	var f fitness
	if err := json.Unmarshal([]byte(p.body), &f); err != nil || p.status != 503 || f.Ready || len(f.Checks) != 5 {
		t.Errorf("readyz: %d %s", p.status, p.body)
	}
	if !f.Checks[0].OK || f.Checks[1].OK || f.Checks[4].Detail != "applied 3 of 5" {
		t.Errorf("checks %+v", f.Checks)
	}
}

func TestConsole(t *testing.T) {
	n := start(t, func(c *Config) { c.Console = console.Handler() })
	c := raw(t, "")
	p := body(t, c, n.url+"/admin/stats")
	if p.status != 200 || !strings.Contains(p.body, "<html") || !strings.Contains(p.header.Get("Content-Security-Policy"), "default-src 'none'") {
		t.Errorf("console: %d %v", p.status, p.header)
	}
	if status, p := ask(t, c, http.MethodGet, n.url+"/admin/nothing.js", nil); status != 404 || p.Kind != api.NotFound {
		t.Errorf("a page that is none: %d %+v", status, p)
	}
	if status, p := ask(t, c, http.MethodPost, n.url+"/admin/stats", nil); status != 405 || p.Kind != api.InvalidArgument {
		t.Errorf("a post: %d %+v", status, p)
	}
	if p := body(t, c, n.url+"/"); p.status != 303 || p.header.Get("Location") != consoleHome {
		t.Errorf("home: %d", p.status)
	}
}

func TestLogin(t *testing.T) {
	n := start(t, nil)
	c := raw(t, "")
	p := body(t, c, n.url+"/admin/login?token=once")
	if p.status != 303 || p.header.Get("Location") != "/admin/stats#infrastructure" {
		t.Fatalf("login: %d %v", p.status, p.header)
	}
	cookies := p.cookies
	if len(cookies) != 1 || !cookies[0].Secure || !cookies[0].HttpOnly || cookies[0].SameSite != http.SameSiteStrictMode || cookies[0].MaxAge != 60 {
		t.Fatalf("cookies %v", cookies)
	}
	header := http.Header{"Cookie": {cookies[0].Name + "=" + cookies[0].Value}}
	if status, p := ask(t, c, http.MethodGet, n.url+"/api/v1/cells", nil, header); status != 200 {
		t.Errorf("with the cookie: %d %+v", status, p)
	}
	if status, p := ask(t, c, http.MethodPost, n.url+"/api/v1/tenants", []byte(`{"tenant":"x"}`), header); status != 403 || p.Kind != api.Forbidden {
		t.Errorf("a write with the cookie: %d %+v", status, p)
	}
	for _, tt := range []struct {
		url    string
		method string
		header http.Header
		status int
	}{
		{"?token=twice", http.MethodGet, nil, 401},
		{"", http.MethodGet, nil, 422},
		{"?token=once", http.MethodHead, nil, 204},
		{"?token=once", http.MethodGet, http.Header{"Sec-Purpose": {"prefetch;prerender"}}, 204},
	} {
		if status, p := ask(t, c, tt.method, n.url+"/admin/login"+tt.url, nil, tt.header); status != tt.status {
			t.Errorf("%s %s: %d %+v, want %d", tt.method, tt.url, status, p, tt.status)
		}
	}
}

// TestPanic: a handler that panics answers internal with the id that is in the log, and the
// server lives.
func TestPanic(t *testing.T) {
	var log strings.Builder
	n := start(t, func(c *Config) {
		c.Log = hclog.New(&hclog.LoggerOptions{Output: &log, Mutex: &sync.Mutex{}})
	})
	n.fake.hook = func(context.Context, string) error { panic("oops") }
	c := raw(t, api.RoleOperator)
	status, p := ask(t, c, http.MethodGet, n.url+"/api/v1/cells", nil)
	if status != 500 || p.Kind != api.Internal || p.RequestID == "" {
		t.Fatalf("%d %+v", status, p)
	}
	n.kill()
	if !strings.Contains(log.String(), p.RequestID) || !strings.Contains(log.String(), "oops") {
		t.Errorf("the log says %q", log.String())
	}
}

// TestOverload: there is no room, so it says when to come back; cells and probes have room
// of their own.
func TestOverload(t *testing.T) {
	n := start(t, func(c *Config) { c.MaxInFlight = 1 })
	entered, leave := make(chan struct{}), make(chan struct{})
	var once sync.Once
	n.fake.hook = func(_ context.Context, call string) error {
		if call == "ListProviders" {
			once.Do(func() { close(entered) })
			<-leave
		}
		return nil
	}
	slow := make(chan error, 1)
	c := dial(t, api.RoleOperator, n)
	go func() {
		_, err := c.ListProviders(context.WithoutCancel(t.Context()), api.ReadOptions{})
		slow <- err
	}()
	<-entered
	status, p := ask(t, raw(t, api.RoleOperator), http.MethodGet, n.url+"/api/v1/cells", nil)
	if status != 429 || p.Kind != api.Overloaded || p.RetryAfterMs <= 0 || !p.Retryable {
		t.Errorf("no room: %d %+v", status, p)
	}
	if _, err := dial(t, api.RoleCell, n).Report(t.Context(), "aws", "aws-1", api.Report{}); err != nil {
		t.Errorf("a cell found no room: %v", err)
	}
	if status, _ := ask(t, raw(t, ""), http.MethodGet, n.url+"/readyz", nil); status != 200 {
		t.Errorf("a probe found no room: %d", status)
	}
	close(leave)
	if err := <-slow; err != nil {
		t.Error(err)
	}
	// The client waits and comes again by itself; the room is back.
	if _, err := c.ListCells(t.Context(), "", api.ReadOptions{}); err != nil {
		t.Error(err)
	}
}

// Whoever has proved nothing and never ends its bodies takes no room from those who have.
func TestNobodyFillsTheRoom(t *testing.T) {
	n := start(t, func(c *Config) { c.MaxInFlight = 8 })
	client := raw(t, "")
	for range 2 * 8 {
		body, feed := io.Pipe()
		t.Cleanup(func() { _ = feed.Close() })
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, n.url+"/api/v1/cells/bootstrap", body)
		if err != nil {
			t.Fatal(err)
		}
		req.ContentLength = 1000
		answered := make(chan struct{})
		go func() {
			defer close(answered)
			if resp, err := client.Do(req); err == nil {
				_ = resp.Body.Close()
			}
		}()
		go func() { _, _ = feed.Write([]byte("{")) }()
		t.Cleanup(func() { _ = feed.CloseWithError(io.ErrUnexpectedEOF); <-answered })
	}
	// Some of them are refused: then the room of nobody is full.
	for {
		status, _ := ask(t, client, http.MethodPost, n.url+"/api/v1/cells/bootstrap", []byte("{}"))
		if status == http.StatusTooManyRequests {
			break
		}
	}
	if status, p := ask(t, raw(t, api.RoleOperator), http.MethodGet, n.url+"/api/v1/cells", nil); status != http.StatusOK {
		t.Errorf("an operator found no room: %d %+v", status, p)
	}
}

func TestConfigCheck(t *testing.T) {
	if _, err := New(Config{}); err == nil || !strings.Contains(err.Error(), "Leader is missing") {
		t.Errorf("an empty config: %v", err)
	}
}
