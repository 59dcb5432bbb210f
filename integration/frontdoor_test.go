package integration

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/capbroker/pki"
	"github.com/grafos/grafos/integration/internal/harness"
)

// TestFrontDoor knocks at one real cluster the way callers do: through the command line and
// over HTTP, with what is right, wrong, forged, too large or asked twice. After every group
// the cluster must be whole: the same processes, no broken invariant, a sound audit chain.
func TestFrontDoor(t *testing.T) {
	d := &door{Cluster: up(t, 3), scratch: t.TempDir()}
	d.look(t)
	d.must(t, "admin", "create-tenant", "acme")
	d.must(t, "admin", "create-tenant", "globex")
	t.Run("shapes", d.testShapes)
	t.Run("command line", d.testCommandLine)
	t.Run("http", d.testHTTP)
	t.Run("admission", d.testAdmission)
	t.Run("leases", d.testLeases)
	t.Run("data plane", d.testDataPlane)
	t.Run("holders", d.testHolders)
	t.Run("idempotency", d.testIdempotency)
	t.Run("tenants", d.testTenants)
	t.Run("roles", d.testRoles)
	t.Run("certificates", d.testCertificates)
	t.Run("bootstrap", d.testBootstrap)
	t.Run("cells", d.testCells)
	t.Run("runs", d.testRuns)
	t.Run("nodes", d.testNodes)
	t.Run("providers", d.testProviders) // last: it takes cells away
}

// door is the cluster and what the tests know of it.
type door struct {
	*harness.Cluster
	scratch string
	urls    []string // of the schedulers, the leader's first
	clients map[string]*http.Client
	pids    []int
	first   api.RunAnswer // the run of the shapes
	fake    *fakeCell     // the cell of the cells
}

// look asks where the schedulers are and which processes run.
func (d *door) look(t *testing.T) {
	t.Helper()
	s, err := d.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	d.urls, d.pids = nil, nil
	for _, n := range s.Schedulers {
		d.pids = append(d.pids, n.PID)
		if n.Role == "leader" {
			d.urls = append([]string{n.URL}, d.urls...)
		} else {
			d.urls = append(d.urls, n.URL)
		}
	}
	for _, c := range s.Cells {
		d.pids = append(d.pids, c.PID)
	}
}

// sound checks that nothing was harmed.
func (d *door) sound(t *testing.T) {
	t.Helper()
	before := d.pids
	d.look(t)
	if !slices.Equal(before, d.pids) {
		t.Errorf("processes were %v, are %v", before, d.pids)
	}
	states, err := d.States(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range states {
		if len(s.Broken) > 0 || s.CheckedIndex == 0 || !s.Ready {
			t.Errorf("scheduler %s: ready %v %s, broken invariants %v at index %d", s.Node, s.Ready, s.NotReady, s.Broken, s.CheckedIndex)
		}
	}
	d.must(t, "admin", "audit-verify")
	d.logs(t)
}

// logs reads what the nodes logged: no caller can make one of them fail at its own work, and
// none tells a secret.
func (d *door) logs(t *testing.T) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(d.DevDir(), "logs", "*.log"))
	if err != nil || len(files) == 0 {
		t.Fatal("there are no logs", err)
	}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(b)) {
			if strings.Contains(line, "grafos.raft: failed to") {
				continue // to reach a scheduler that a test killed
			}
			for _, bad := range []string{"panic", "[ERROR]", "v4.public.", "eyJ", "PRIVATE KEY"} {
				if strings.Contains(line, bad) {
					t.Errorf("%s: %s", filepath.Base(file), line)
				}
			}
		}
	}
}

// must runs a command with --json that succeeds, and returns its one document.
func (d *door) must(t *testing.T, args ...string) []byte {
	t.Helper()
	return d.mustInput(t, nil, args...)
}

// mustInput is must with a standard input. Beside the document there is nothing: neither
// behind it nor on standard error.
func (d *door) mustInput(t *testing.T, stdin []byte, args ...string) []byte {
	t.Helper()
	said := d.exec(t, stdin, withJSON(args)...)
	if said.Code != 0 {
		t.Fatalf("grafos %v: exit %d: %s", args, said.Code, said.Stderr)
	}
	if len(said.Stderr) > 0 {
		t.Errorf("grafos %v wrote to standard error: %s", args, said.Stderr)
	}
	if !slices.Contains(args, "audit-query") { // whose records are a line each
		oneDocument(t, said.Stdout, new(any))
	}
	return said.Stdout
}

// into is must, decoded.
func (d *door) into(t *testing.T, v any, args ...string) {
	t.Helper()
	oneDocument(t, d.must(t, args...), v)
}

func (d *door) exec(t *testing.T, stdin []byte, args ...string) harness.Said {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	said, err := d.Exec(ctx, stdin, args...)
	if err != nil {
		t.Fatal(err)
	}
	return said
}

// withJSON adds the flag where the program's own flags end.
func withJSON(args []string) []string {
	if i := slices.Index(args, "--"); i >= 0 {
		return slices.Insert(slices.Clone(args), i, "--json")
	}
	return append(slices.Clone(args), "--json")
}

// oneDocument decodes bytes that are exactly one JSON document.
func oneDocument(t *testing.T, b []byte, v any) {
	t.Helper()
	dec := json.NewDecoder(bytes.NewReader(b))
	if err := dec.Decode(v); err != nil {
		t.Fatalf("no JSON document: %v: %.400s", err, b)
	}
	if _, err := dec.Token(); err != io.EOF {
		t.Fatalf("something stands behind the document: %.400s", b)
	}
}

// refuse runs a command twice, for a program and for a person, and expects a refusal of a
// kind, with its exit code, in words that help.
func (d *door) refuse(t *testing.T, kind api.Kind, exit int, words string, args ...string) api.Error {
	t.Helper()
	said := d.exec(t, nil, withJSON(args)...)
	if said.Code != exit {
		t.Errorf("grafos %v: exit %d, want %d", args, said.Code, exit)
	}
	if len(said.Stdout) > 0 {
		t.Errorf("grafos %v wrote to standard output: %.200s", args, said.Stdout)
	}
	p := checkProblem(t, said.Stderr, kind, words)
	person := d.exec(t, nil, args...)
	if text := string(person.Stderr); person.Code != exit || len(person.Stdout) > 0 || !strings.HasPrefix(text, "Error: ") || !strings.Contains(text, string(kind)) {
		t.Errorf("grafos %v for a person: exit %d, %q, %q", args, person.Code, person.Stdout, text)
	}
	return p
}

// checkProblem reads a problem document and compares it with what its kind demands.
func checkProblem(t *testing.T, b []byte, kind api.Kind, words string) api.Error {
	t.Helper()
	var p api.Error
	oneDocument(t, b, &p)
	var raw map[string]any
	oneDocument(t, b, &raw)
	for _, field := range []string{"type", "kind", "title", "status", "detail", "retryable"} {
		if _, ok := raw[field]; !ok {
			t.Errorf("the problem has no %s: %s", field, b)
		}
	}
	if p.Kind != kind {
		t.Errorf("kind is %s, want %s: %s", p.Kind, kind, p.Detail)
	}
	if p.Retryable != p.Kind.Retryable() || p.Status != p.Kind.Status() && p.Status != http.StatusMethodNotAllowed {
		t.Errorf("%s has status %d, retryable %v", p.Kind, p.Status, p.Retryable)
	}
	if said := p.Detail + " " + p.Hint; !strings.Contains(said, words) || len(p.Detail) < 12 {
		t.Errorf("it says %q, and should say %q", said, words)
	}
	return p
}

// as are the flags of a certificate's folder.
func (d *door) as(folder string, args ...string) []string {
	return append([]string{"--cert", filepath.Join(folder, "cert.pem"), "--key", filepath.Join(folder, "key.pem")}, args...)
}

// issue has the command line write a certificate and returns its folder.
func (d *door) issue(t *testing.T, args ...string) string {
	t.Helper()
	folder := filepath.Join(d.scratch, "cert", strings.Join(args, "_"))
	d.must(t, append([]string{"admin", "issue-cert", "--out", folder}, args...)...)
	return folder
}

// client returns an HTTP client with the certificate in a folder; "" is nobody and
// "operator" the dev cluster's own.
func (d *door) client(t *testing.T, folder string) *http.Client {
	t.Helper()
	if c, ok := d.clients[folder]; ok {
		return c
	}
	var cred *pki.Credential
	at := folder
	if folder == operator {
		at = filepath.Join(d.DevDir(), "operator")
	}
	if folder != nobody {
		var err error
		if cred, err = pki.LoadCredential(filepath.Join(at, "cert.pem"), filepath.Join(at, "key.pem")); err != nil {
			t.Fatal(err)
		}
	}
	conf, err := d.TLS(cred, api.RoleScheduler)
	if err != nil {
		t.Fatal(err)
	}
	c := &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{TLSClientConfig: conf, ForceAttemptHTTP2: true}}
	if d.clients == nil {
		d.clients = map[string]*http.Client{}
	}
	d.clients[folder] = c
	return c
}

// Whom client can be beside a folder.
const (
	nobody   = ""
	operator = "operator"
)

// call is one HTTP request to a scheduler.
type call struct {
	who    string // as client takes it
	method string // POST where it is left out and there is a body, else GET
	path   string
	body   string
	header map[string]string
	at     int // which scheduler: 0 is the leader
	length int64
}

// send sends it and returns the answer with its body read.
func (d *door) send(t *testing.T, r call) (reply, []byte) {
	t.Helper()
	method := r.method
	if method == "" {
		method = http.MethodGet
		if r.body != "" {
			method = http.MethodPost
		}
	}
	var body io.Reader
	if r.body != "" {
		body = strings.NewReader(r.body)
	}
	req, err := http.NewRequestWithContext(t.Context(), method, d.urls[r.at]+r.path, body)
	if err != nil {
		t.Fatal(err)
	}
	if r.body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for k, v := range r.header {
		req.Header.Set(k, v)
	}
	if r.length != 0 {
		req.ContentLength = r.length
	}
	resp, err := d.client(t, r.who).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(resp.Body)
	if closeErr := resp.Body.Close(); err != nil || closeErr != nil {
		t.Fatal(err, closeErr)
	}
	return reply{StatusCode: resp.StatusCode, Status: resp.Status, Header: resp.Header}, b
}

// reply is what an answer has beside its body.
type reply struct {
	StatusCode int
	Status     string
	Header     http.Header
}

// refuseHTTP sends a request that is refused with a problem document.
func (d *door) refuseHTTP(t *testing.T, kind api.Kind, words string, r call) api.Error {
	t.Helper()
	resp, b := d.send(t, r)
	if got := resp.Header.Get("Content-Type"); got != "application/problem+json" {
		t.Errorf("content type is %q", got)
	}
	p := checkProblem(t, b, kind, words)
	if resp.StatusCode != p.Status || p.RequestID == "" {
		t.Errorf("status is %d, the problem says %d, request %q", resp.StatusCode, p.Status, p.RequestID)
	}
	freshness(t, resp)
	return p
}

// takeHTTP sends a request that is answered with 200 and decodes the answer.
func (d *door) takeHTTP(t *testing.T, v any, r call) {
	t.Helper()
	resp, b := d.send(t, r)
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("%s %s: %s: %s", r.method, r.path, resp.Status, b)
	}
	freshness(t, resp)
	oneDocument(t, b, v)
}

// freshness demands the headers that every answer carries.
func freshness(t *testing.T, resp reply) {
	t.Helper()
	for _, h := range []string{"Grafos-Index", "Grafos-Leader", "Grafos-Last-Contact"} {
		if resp.Header.Get(h) == "" {
			t.Errorf("the answer (%s) has no header %s", resp.Status, h)
		}
	}
}

// eventually waits until ok, which says what is missing; "" is nothing.
func eventually(t *testing.T, within time.Duration, missing func() string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	for {
		what := missing()
		if what == "" {
			return
		}
		if harness.Pause(ctx, 20*time.Millisecond) != nil {
			t.Fatalf("not within %s: %s", within, what)
		}
	}
}

// flagOf returns with which value of a flag a node was started.
func (d *door) flagOf(t *testing.T, node, flag string) string {
	t.Helper()
	args := d.argsOf(t, node)
	i := slices.Index(args, flag)
	if i < 0 {
		t.Fatalf("node %s has no flag %s", node, flag)
	}
	return args[i+1]
}

// argsOf returns how a node was started.
func (d *door) argsOf(t *testing.T, node string) []string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(d.DevDir(), "dev.json"))
	if err != nil {
		t.Fatal(err)
	}
	var state struct {
		Schedulers, Cells []struct {
			Name string
			Args []string
		}
	}
	if err := json.Unmarshal(b, &state); err != nil {
		t.Fatal(err)
	}
	for _, n := range append(state.Schedulers, state.Cells...) {
		if n.Name == node {
			return n.Args
		}
	}
	t.Fatalf("there is no node %s", node)
	return nil
}
