package integration

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/capbroker"
	"github.com/grafos/grafos/capbroker/pki"
	"github.com/grafos/grafos/integration/internal/harness"
)

// attempt is one operation on a lease's bytes, as it is wrong.
type attempt struct {
	token  string
	query  string
	write  bool
	body   []byte
	length int64 // said of the body; 0 is what it is, -1 nothing
	who    string
	proof  string // of a holder; "" is none
}

// answered is what became of it.
type answered struct {
	status int
	kind   api.Kind
	body   []byte
}

// straight sends an attempt to the cell itself.
func (d *door) straight(t *testing.T, g api.Grant, a attempt) answered {
	t.Helper()
	return d.attempt(t, g.Coordinate+a.query, map[string]string{"Authorization": "Bearer " + a.token}, d.planeClient(t, a.who), a)
}

// carried sends it through a scheduler.
func (d *door) carried(t *testing.T, g api.Grant, a attempt) answered {
	t.Helper()
	who := a.who
	if who == "" {
		who = operator
	}
	for again := 0; ; again++ {
		got := d.attempt(t, d.urls[1]+"/api/v1/leases/"+string(g.ID)+"/data"+a.query, map[string]string{api.HeaderLeaseToken: a.token}, d.client(t, who), a)
		if got.kind != api.NoLeader || again == 2 { // a leader may change on a busy machine
			return got
		}
	}
}

// planeClient is a client of the cells' data planes with a folder's certificate; "" is the operator's.
func (d *door) planeClient(t *testing.T, folder string) *http.Client {
	t.Helper()
	if c, ok := d.clients["plane "+folder]; ok {
		return c
	}
	at := folder
	if folder == "" {
		at = filepath.Join(d.DevDir(), "operator")
	}
	cred, err := pki.LoadCredential(filepath.Join(at, "cert.pem"), filepath.Join(at, "key.pem"))
	if err != nil {
		t.Fatal(err)
	}
	conf, err := d.TLS(cred, api.RoleCell)
	if err != nil {
		t.Fatal(err)
	}
	c := &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{TLSClientConfig: conf, ForceAttemptHTTP2: true}}
	if d.clients == nil {
		d.clients = map[string]*http.Client{}
	}
	d.clients["plane "+folder] = c
	return c
}

func (d *door) attempt(t *testing.T, target string, head map[string]string, h *http.Client, a attempt) answered {
	t.Helper()
	method, body := http.MethodGet, io.Reader(http.NoBody)
	if a.write {
		method, body = http.MethodPut, bytes.NewReader(a.body)
	}
	req, err := http.NewRequestWithContext(t.Context(), method, target, body)
	if err != nil {
		t.Fatal(err)
	}
	if a.length != 0 {
		req.ContentLength = a.length
	}
	for k, v := range head {
		req.Header.Set(k, v)
	}
	if a.proof != "" {
		req.Header.Set(api.HeaderProof, a.proof)
	}
	resp, err := h.Do(req)
	if err != nil {
		// A body that is not what it was said to be: what the server answered may be lost with the connection.
		return answered{kind: api.Kind("connection: " + err.Error())}
	}
	b, err := io.ReadAll(resp.Body)
	if closeErr := resp.Body.Close(); err != nil || closeErr != nil {
		t.Fatal(err, closeErr)
	}
	got := answered{status: resp.StatusCode, body: b}
	if resp.StatusCode >= http.StatusBadRequest {
		var p api.Error
		if err := json.Unmarshal(b, &p); err != nil || p.Status != resp.StatusCode || len(p.Detail) < 12 {
			t.Errorf("status %d comes with %.300q: %v", resp.StatusCode, b, err)
		}
		got.kind = p.Kind
	}
	return got
}

// testDataPlane is the table of what is wrong about an operation on a lease's bytes: each row is tried at
// the cell itself and through a scheduler, and the bytes of the lease are what they were.
func (d *door) testDataPlane(t *testing.T) {
	defer d.sound(t)
	grant := func(args ...string) api.Grant {
		t.Helper()
		var set api.GrantSet
		d.into(t, &set, append([]string{"lease", "request", "--provider", "local", "--tenant", "acme", "--ttl", "5m"}, args...)...)
		return set.Leases[0]
	}
	const size = 64 << 10
	g := grant("--mem", "64K")
	neighbour := grant("--mem", "64K")
	for neighbour.CellID != g.CellID {
		neighbour = grant("--mem", "64K")
	}
	elsewhere := grant("--mem", "64K")
	for elsewhere.CellID == g.CellID {
		elsewhere = grant("--mem", "64K")
	}
	compute := grant("--cpu", "1")
	old := grant("--mem", "64K")
	d.must(t, "lease", "renew", string(old.ID))
	freed := grant("--mem", "64K")
	d.must(t, "lease", "free", string(freed.ID))
	torndown(t, d, freed.ID)

	content := bytes.Repeat([]byte("grafOS! "), size/8)
	if got := d.straight(t, g, attempt{token: g.Token, write: true, body: content}); got.status != http.StatusNoContent {
		t.Fatalf("the first write is answered %d %s", got.status, got.kind)
	}
	globex := d.issue(t, "--role", "tenant", "--name", "globex")
	long := g.Token + strings.Repeat("A", 2049-len(g.Token))
	q := url.QueryEscape
	const past, end = "?offset=65536&length=1", "?offset=65536&length=0"

	// One row: what is asked for, of which lease, and what it is answered straight and through a scheduler.
	for name, row := range map[string]struct {
		lease    api.Grant
		ask      attempt
		straight api.Kind
		carried  api.Kind
	}{
		"token/none":                         {g, attempt{query: "?length=1"}, api.Unauthenticated, api.Unauthenticated},
		"token/nonsense":                     {g, attempt{token: "v4.public.nonsense", query: "?length=1"}, api.BadSignature, api.BadSignature},
		"token/of another form":              {g, attempt{token: "v4.local." + g.Token[10:], query: "?length=1"}, api.BadSignature, api.BadSignature},
		"token/a byte too long":              {g, attempt{token: long, query: "?length=1"}, api.TooLarge, api.TooLarge},
		"token/beyond any bound":             {g, attempt{token: strings.Repeat("v", 8<<10), query: "?length=1"}, api.TooLarge, api.TooLarge},
		"token/of the generation before":     {old, attempt{token: old.Token, query: "?length=1"}, api.StaleGeneration, api.StaleGeneration},
		"token/of a lease that ended":        {freed, attempt{token: freed.Token, query: "?length=1"}, api.LeaseRevoked, api.LeaseRevoked},
		"token/of another lease":             {g, attempt{token: neighbour.Token, query: "?length=1"}, api.CaveatFailed, api.CaveatFailed},
		"token/of another cell":              {g, attempt{token: elsewhere.Token, query: "?length=1"}, api.WrongAudience, api.WrongAudience},
		"token/of another broker":            {g, attempt{token: foreignToken(t, d, g, 0), query: "?length=1"}, api.BadSignature, api.BadSignature},
		"token/of tomorrow":                  {g, attempt{token: foreignToken(t, d, g, 24*time.Hour), query: "?length=1"}, api.BadSignature, api.BadSignature},
		"token/of yesterday":                 {g, attempt{token: foreignToken(t, d, g, -24*time.Hour), query: "?length=1"}, api.BadSignature, api.BadSignature},
		"token/in another tenant's hands":    {g, attempt{token: g.Token, query: "?length=1", who: globex}, api.Forbidden, api.NotFound},
		"read/the last byte":                 {g, attempt{token: g.Token, query: "?offset=65535&length=1"}, "", ""},
		"read/nothing at the end":            {g, attempt{token: g.Token, query: end}, "", ""},
		"read/one past the end":              {g, attempt{token: g.Token, query: past}, api.InvalidArgument, api.InvalidArgument},
		"read/across the end":                {g, attempt{token: g.Token, query: "?offset=65535&length=2"}, api.InvalidArgument, api.InvalidArgument},
		"read/nothing behind the end":        {g, attempt{token: g.Token, query: "?offset=65537&length=0"}, api.InvalidArgument, api.InvalidArgument},
		"read/a sum that overflows":          {g, attempt{token: g.Token, query: "?offset=9223372036854775807&length=2"}, api.InvalidArgument, api.InvalidArgument},
		"read/a length that overflows":       {g, attempt{token: g.Token, query: "?offset=1&length=9223372036854775807"}, api.InvalidArgument, api.TooLarge},
		"read/a number that is none":         {g, attempt{token: g.Token, query: "?offset=9223372036854775808&length=1"}, api.InvalidArgument, api.InvalidArgument},
		"read/below zero":                    {g, attempt{token: g.Token, query: "?offset=-1&length=1"}, api.InvalidArgument, api.InvalidArgument},
		"read/a length below zero":           {g, attempt{token: g.Token, query: "?offset=1&length=-1"}, api.InvalidArgument, api.InvalidArgument},
		"read/a hexadecimal number":          {g, attempt{token: g.Token, query: "?offset=0x10&length=1"}, api.InvalidArgument, api.InvalidArgument},
		"read/a number with a sign":          {g, attempt{token: g.Token, query: "?offset=" + q("1 ") + "&length=1"}, api.InvalidArgument, api.InvalidArgument},
		"read/an offset twice":               {g, attempt{token: g.Token, query: "?offset=0&offset=5&length=1"}, api.InvalidArgument, api.InvalidArgument},
		"read/what nobody knows":             {g, attempt{token: g.Token, query: "?length=1&bogus=1"}, api.InvalidArgument, api.InvalidArgument},
		"read/what has no bytes":             {compute, attempt{token: compute.Token, query: "?length=1"}, api.CaveatFailed, api.CaveatFailed},
		"write/nothing":                      {g, attempt{token: g.Token, write: true}, "", ""},
		"write/nothing at the end":           {g, attempt{token: g.Token, write: true, query: "?offset=65536"}, "", ""},
		"write/one past the end":             {g, attempt{token: g.Token, write: true, query: "?offset=65536", body: []byte("x")}, api.InvalidArgument, api.InvalidArgument},
		"write/across the end":               {g, attempt{token: g.Token, write: true, query: "?offset=65535", body: []byte("xy")}, api.InvalidArgument, api.InvalidArgument},
		"write/one more than there is":       {g, attempt{token: g.Token, write: true, body: make([]byte, size+1)}, api.InvalidArgument, api.InvalidArgument},
		"write/16 MiB":                       {g, attempt{token: g.Token, write: true, body: make([]byte, 16<<20)}, api.InvalidArgument, api.TooLarge},
		"write/of untold length across":      {g, attempt{token: g.Token, write: true, query: "?offset=65535", body: []byte("xy"), length: -1}, api.InvalidArgument, api.InvalidArgument},
		"write/of untold length beyond":      {g, attempt{token: g.Token, write: true, body: make([]byte, 300<<10), length: -1}, api.TooLarge, api.InvalidArgument},
		"write/a length that is not its own": {g, attempt{token: g.Token, write: true, query: "?length=3", body: []byte("xy")}, api.InvalidArgument, api.InvalidArgument},
		"write/what has no bytes":            {compute, attempt{token: compute.Token, write: true, body: []byte("x")}, api.CaveatFailed, api.CaveatFailed},
		"write/a sync of its own":            {g, attempt{token: g.Token, write: true, query: "?sync=true"}, api.InvalidArgument, api.InvalidArgument},
	} {
		t.Run(name, func(t *testing.T) {
			for way, ask := range map[string]struct {
				do   func(*testing.T, api.Grant, attempt) answered
				kind api.Kind
			}{"straight": {d.straight, row.straight}, "carried": {d.carried, row.carried}} {
				if got := ask.do(t, row.lease, row.ask); got.kind != ask.kind && (got.status != 0 || len(row.ask.body) <= 1<<20) {
					t.Errorf("%s: answered %d %q, want %q: %.300s", way, got.status, got.kind, ask.kind, got.body)
				}
			}
		})
	}
	t.Run("token/every byte of it changed", func(t *testing.T) {
		d.eachBent(t, g, g.Token, func(bent string) attempt { return attempt{token: bent, query: "?length=1"} })
	})
	t.Run("slow clients", func(t *testing.T) { d.slowClients(t, g) })
	if got := d.straight(t, g, attempt{token: g.Token}); !bytes.Equal(got.body, content) {
		t.Errorf("afterwards the lease has %d other bytes", len(got.body))
	}
	freeAll(t, d, "acme")
}

// foreignToken is what another broker, of a clock that is so far ahead, says of a lease.
func foreignToken(t *testing.T, d *door, g api.Grant, ahead time.Duration) string {
	t.Helper()
	states, err := d.States(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	b, err := capbroker.New(capbroker.Config{
		ClusterID: states[0].ClusterID, Cell: g.CellID, Now: func() time.Time { return time.Now().Add(ahead) },
	})
	if err != nil {
		t.Fatal(err)
	}
	b.SetEpoch(1)
	token, err := b.Mint(g.Lease, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// slowClients holds connections that say little and never come to an end, all of one tenant: others are
// served meanwhile.
func (d *door) slowClients(t *testing.T, g api.Grant) {
	t.Helper()
	conf := d.planeClient(t, d.issue(t, "--role", "tenant", "--name", "acme")).Transport.(*http.Transport).TLSClientConfig.Clone() //nolint:errcheck,forcetypeassert // of this test
	conf.NextProtos = []string{"http/1.1"}
	at, err := url.Parse(g.Coordinate)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	held := make(chan error, slowMost)
	for n := range slowMost {
		wg.Go(func() { held <- slow(ctx, conf, at, n, g.Token) })
	}
	for range 200 {
		if got := d.straight(t, g, attempt{token: g.Token, query: "?length=8"}); string(got.body) != "grafOS! " {
			t.Fatalf("beside slow clients a read is answered %d %q", got.status, got.kind)
		}
	}
	cancel()
	cut := 0
	for range slowMost {
		if err := <-held; err != nil && !errors.Is(err, context.Canceled) {
			cut++
			t.Logf("a slow client: %v", err)
		}
	}
	if cut > slowMost/10 {
		t.Errorf("%d of %d slow clients could not even begin", cut, slowMost)
	}
}

const slowMost = 300

// slow begins a request and goes on with it a byte at a time, until it is told to end.
func slow(ctx context.Context, conf *tls.Config, at *url.URL, n int, token string) error {
	dialer := tls.Dialer{Config: conf}
	conn, err := dialer.DialContext(ctx, "tcp", at.Host)
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	defer func() { _ = conn.Close() }()
	text := "PUT " + at.Path + " HTTP/1.1\r\nHost: " + at.Host + "\r\n"
	if n%2 == 0 { // half of them come to their body
		text += "Authorization: Bearer " + token + "\r\nContent-Length: 4096\r\n\r\n"
	}
	if _, err := io.WriteString(conn, text); err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	for harness.Pause(ctx, 200*time.Millisecond) == nil {
		if _, err := conn.Write([]byte("x")); err != nil {
			if _, cut := errors.AsType[*net.OpError](err); cut {
				return nil // as it should be, sooner or later
			}
			return fmt.Errorf("go on: %w", err)
		}
	}
	return ctx.Err()
}
