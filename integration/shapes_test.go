package integration

import (
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/grafos/grafos/api"
)

// The shapes that scripts rely on, as the specification has them. A number, a boolean and
// "text" stand for any of their kind, "a|b" for one of the words, "time" for RFC 3339,
// "digest" for a content address, "hex" for 64 hex digits, "" for text that may be empty; a
// list's one example holds for all of its items and there must be one, unless "maybe" stands
// behind it; a field that ends in "?" may be left out.
const (
	amountsShape = `{"cpu":1,"mem":1,"block":1,"net":1,"gpu":1}`
	cellShape    = `{"cell_id":"text","provider":"text","state":"registered|warming|ready|unhealthy|draining|drained|maintenance|revoked","ready":true,
		"readiness":{"code_enabled":true,"durable_provider_cell_record":true,"identity_bound":true,
			"healthy_cell":true,"inventory_reported":true,"outbound_registered":true},
		"reasons":[{"requirement":"text","code":"text","message":"text","since":"time","hint":"text"},"maybe"],
		"inventory":{"total_cpu":1,"total_mem":1,"total_block":1,"total_net":1,"nic_count":1,"gpu_count":1,"gpus":[{},"maybe"],"zone?":"text","rack?":"text"},
		"capacity":` + amountsShape + `,"free":` + amountsShape + `,"leases":1,"last_seen?":"time","conformance":"passed|failed|none"}`
	leaseStates = `active|revoke_warning|grace_running|checkpoint_reported|forced_teardown|expired|torndown|fenced|failed_closed`
	leaseFields = `"lease_id":"text","run_id?":"text","tenant":"text","provider":"text","cell_id":"text","kind":"cpu|mem|block|net|gpu","amount":1,
		"state":"` + leaseStates + `","generation":1,"epoch":1,"priority":"guaranteed|standard|scavenger","granted_at":"time","expires_at":"time"`
	leaseShape    = `{` + leaseFields + `,"coordinate?":"text"}`
	grantShape    = `{` + leaseFields + `,"coordinate":"text","token":"text"}`
	providerShape = `"provider":"text","enabled":true,"runtime_readiness":"ready|degraded|not_ready|disabled"`
	listedShape   = `{` + providerShape + `,"cells_total":1,"cells_ready":1,"leases":1,"capacity":` + amountsShape + `,"free":` + amountsShape + `}`
	runShape      = `{"run_id":"text","provider":"text","cell_id":"text","state":"admitted|placed|running|succeeded|failed|expired|revoked|lost","attempt":1,
		"exit_code":1,"module":"digest","fuel_used":1,"duration_ms":1,"artifacts":[{"name":"text","digest":"digest","size":1}]`
	problemShape = `{"type":"text","kind":"text","title":"text","status":1,"detail":"text","retryable":true`
	planShape    = `{"index":1,"decision":"admit|refuse","cell_id?":"text","score":1,"components?":{},
		"candidates":[{"cell_id":"text","score":1,"components?":{},"vetoes":[{"code":"text","message":"text"},"maybe"]}]`
	auditShape = `{"sequence":1,"timestamp_unix":1,"kind":"text","identity":"text","event_data":{},"prev_event_hash":"hex","current_event_hash":"hex"}`
	tenant     = `{"tenant":"text","quota":` + amountsShape + `,"used":` + amountsShape + `,"leases":1}`
)

func (d *door) testShapes(t *testing.T) {
	defer d.sound(t)
	var set api.GrantSet
	d.into(t, &set, "lease", "request", "--provider", "local", "--mem", "1M", "--block", "4K", "--ttl", "5m", "--tenant", "acme")
	mem := string(set.Leases[0].ID)
	module := d.module(t, "hello", hello)
	d.into(t, &d.first, "deploy", "run", "--provider", "local", "--module", module)
	run := d.first
	const cluster = `{"schedulers":[{"name":"text","pid":1,"url":"text","role":"leader|follower|down"}],"cells":[{"name":"text","pid":1,"ready":true}],
		"console":"text","ca":"text","tenant":"dev"}`

	for _, tt := range []struct {
		shape string
		args  string
	}{
		{cluster, "dev status"},
		{cluster, "dev up"},
		{`{"GRAFOS_FABRIC":"text","GRAFOS_CA":"text","GRAFOS_CERT":"text","GRAFOS_KEY":"text"}`, "dev env"},
		{`{"version":"text"}`, "version"},
		{`{"shell":"bash","script":"text"}`, "completion bash"},
		{`{"index":1,"providers":[` + listedShape + `]}`, "provider list"},
		{`{"index":1,` + providerShape + `,"cells":[` + cellShape + `]}`, "provider status local"},
		{`{"index":1,` + providerShape + `,"cells":[` + cellShape + `]}`, "provider enable local"},
		{`{"index":1,"cells":[` + cellShape + `]}`, "fabric cells"},
		{`{"index":1,"leases":[` + leaseShape + `]}`, "lease list"},
		{`{"index":1,"leases":[` + leaseShape + `]}`, "lease list --all --tenant acme"},
		{`{"index":1,"lease":` + leaseShape + `}`, "lease show " + mem},
		{`{"index":1,"lease":` + grantShape + `}`, "lease renew " + mem + " --ttl 10m"},
		{`{"index":1,"lease":` + grantShape + `}`, "lease token " + mem},
		{`{"lease_id":"text","cell_id":"text","offset":1,"length":1,"data":"text"}`, "lease read " + mem + " --length 8"},
		{`{"lease_id":"text","cell_id":"text","offset":1,"length":1}`, "lease write " + mem},
		{`{"index":1,"cell_id":"text","leases":[` + grantShape + `]}`, "lease request --provider local --cpu 1 --mem 1M --ttl 1s"},
		{`{"index":1,"lease":` + leaseShape + `}`, "lease free " + mem},
		{`{"index":1,"lease":` + leaseShape + `}`, "lease revoke --yes " + string(set.Leases[1].ID)},
		{runShape + `,"leases":[` + leaseShape + `],"output":"hello, world\n"}`, "deploy run --provider local --module " + module},
		{runShape + `,"leases":[` + leaseShape + `],"output":"hello, world\n"}`, "run show " + string(run.ID)},
		{`{"index":1,"runs":[` + runShape + `}]}`, "run list"},
		{planShape + `}`, "deploy plan --provider local"},
		{`{"ok":true,"records":1}`, "admin audit-verify"},
		{`{"index":1,"tenants":[` + tenant + `]}`, "admin list-tenants"},
		{`{"index":1,"tenant":` + tenant + `}`, "admin create-tenant shapes"},
		{`{"index":1,"tenant":` + tenant + `}`, "admin set-quota shapes --mem 1G --leases 5"},
		{`{"index":1,"tenant":` + tenant + `}`, "admin delete-tenant shapes --yes"},
		{`{"token":"text","provider":"local","uses":1,"ca_pin":"text","expires_at":"time"}`, "admin bootstrap-token --provider local"},
		{`{"cluster_id":"text","ca_pin":"text","dir":"text"}`, "admin init-ca --out " + d.scratch + "/shapes-material"},
		{`{"spiffe_id":"text","cert":"text","key":"text","ca":"text","not_after":"time"}`, "admin issue-cert --role viewer --name v --out " + d.scratch + "/shapes-cert"},
	} {
		t.Run(tt.args, func(t *testing.T) {
			fits(t, tt.shape, d.must(t, strings.Fields(tt.args)...))
		})
	}

	t.Run("refusal of a plan", func(t *testing.T) {
		said := d.exec(t, nil, "deploy", "plan", "--provider", "local", "--mem", "7T", "--json")
		if said.Code != 4 || len(said.Stderr) > 0 {
			t.Errorf("exit %d, %s", said.Code, said.Stderr)
		}
		fits(t, planShape+`,"refusal":`+problemShape+`,"resource":"mem","limit":1,"in_use":1,"asked":1,"provider":"local","candidates":[{}],"reason":"insufficient","hint":"text"}}`, said.Stdout)
	})
	t.Run("audit lines", func(t *testing.T) {
		said := d.exec(t, nil, "admin", "audit-query", "--json")
		lines := strings.Split(strings.TrimSpace(string(said.Stdout)), "\n")
		for _, line := range lines {
			fits(t, auditShape, []byte(line))
		}
		if len(lines) < 5 || said.Code != 0 {
			t.Errorf("exit %d, %d records", said.Code, len(lines))
		}
	})
	t.Run("artifacts", d.testArtifacts)
	t.Run("names", func(t *testing.T) {
		for _, args := range []string{"provider list", "fabric cells", "lease list --all", "run list", "admin list-tenants"} {
			said := d.exec(t, nil, append(strings.Fields(args), "-o", "name")...)
			if names := strings.Fields(string(said.Stdout)); said.Code != 0 || len(names) == 0 || len(names) != strings.Count(string(said.Stdout), "\n") {
				t.Errorf("%s -o name: exit %d: %q", args, said.Code, said.Stdout)
			}
		}
	})
	t.Run("http", d.testHTTPShapes)
}

func (d *door) testHTTPShapes(t *testing.T) {
	run := d.first
	for _, tt := range []struct{ shape, path string }{
		{`{"index":1,"providers":[` + listedShape + `]}`, "/providers"},
		{`{"index":1,` + providerShape + `,"cells":[` + cellShape + `]}`, "/providers/local"},
		{`{"index":1,"cells":[` + cellShape + `]}`, "/cells"},
		{`{"index":1,"leases":[` + leaseShape + `]}`, "/leases?all=true"},
		{`{"index":1,"runs":[` + runShape + `}]}`, "/runs"},
		{runShape + `,"leases":[` + leaseShape + `],"output":"text"}`, "/runs/" + string(run.ID)},
		{`{"index":1,"tenants":[` + tenant + `]}`, "/tenants"},
		{`{"index":1,"records":[` + auditShape + `],"head":{"sequence":1,"hash":"hex"}}`, "/audit"},
		{`{"openapi":"3.1.0","paths":{"/api/v1/leases":{},"/api/v1/leases:batch":{},"/api/v1/providers/{p}/cells/{c}:revoke":{}}}`, "/openapi.json"},
		{`{"node_id":"text","role":"leader|follower","leader":"text"}`, "/operator/node"},
		{`{"index":1,"leader":"text","schedulers":[{"node_id":"text","url":"text","voter":true,"alive":true}]}`, "/operator/schedulers"},
	} {
		for at := range d.urls {
			t.Run(fmt.Sprintf("%s at %d", tt.path, at), func(t *testing.T) {
				var v json.RawMessage
				d.takeHTTP(t, &v, call{who: operator, path: "/api/v1" + tt.path, at: at})
				fits(t, tt.shape, v)
			})
		}
	}
	t.Run("batch", func(t *testing.T) {
		one := `{"provider":"local","tenant":"acme","ttl_ms":60000,"resources":{"mem":4096}}`
		var v json.RawMessage
		d.takeHTTP(t, &v, call{who: operator, path: "/api/v1/leases:batch", at: 1, body: `{"requests":[` + one + `,{"provider":"nowhere","tenant":"acme","ttl_ms":60000,"resources":{"mem":4096}}]}`})
		var batch api.BatchAnswer
		oneDocument(t, v, &batch)
		if len(batch.Answers) != 2 || batch.Answers[0].Grant == nil || batch.Answers[1].Problem == nil || batch.Answers[1].Problem.Kind != api.NotFound {
			t.Fatalf("each is decided on its own: %s", v)
		}
		grant, err := json.Marshal(batch.Answers[0].Grant)
		if err != nil {
			t.Fatal(err)
		}
		fits(t, `{"index":1,"cell_id":"text","leases":[`+grantShape+`]}`, grant)
		d.must(t, "lease", "free", string(batch.Answers[0].Grant.Leases[0].ID))
	})
	t.Run("events", d.testEvents)
	t.Run("probes", func(t *testing.T) {
		for _, path := range []string{"/livez", "/health", "/readyz", "/readyz?verbose", "/ca.pem"} {
			if resp, b := d.send(t, call{who: nobody, path: path}); resp.StatusCode != http.StatusOK {
				t.Errorf("%s without a certificate: %s: %s", path, resp.Status, b)
			}
		}
		if resp, _ := d.send(t, call{who: operator, path: "/api/v1/nothing-of-ours"}); resp.StatusCode != http.StatusNotFound {
			t.Errorf("what is not there: %s", resp.Status)
		}
		resp, b := d.send(t, call{who: operator, path: "/metrics"})
		wantMetrics(t, string(b))
		if resp.StatusCode != http.StatusOK || !strings.Contains(string(b), "# TYPE ") || strings.Contains(string(b), string(run.ID)) {
			t.Errorf("metrics: %s", resp.Status)
		}
	})
	t.Run("waiting read", func(t *testing.T) {
		var list api.TenantList
		d.takeHTTP(t, &list, call{who: operator, path: "/api/v1/tenants"})
		done := make(chan api.TenantList, 1)
		go func() {
			var next api.TenantList
			defer func() { done <- next }()
			_, b := d.send(t, call{who: operator, path: fmt.Sprintf("/api/v1/tenants?index=%d&wait=20s", list.Index), at: 1})
			_ = json.Unmarshal(b, &next) // an answer that cannot be read has no index
		}()
		d.must(t, "admin", "create-tenant", "waited-for")
		if next := <-done; next.Index <= list.Index {
			t.Errorf("it was at %d, and answered at %d", list.Index, next.Index)
		}
		d.must(t, "admin", "delete-tenant", "waited-for", "--yes")
	})
}

// testEvents reads the stream from its beginning, and again from a cursor in its middle.
func (d *door) testEvents(t *testing.T) {
	read := func(at int, from, accept string, n int) []string {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, d.urls[at]+"/api/v1/events?from="+from, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Accept", accept)
		resp, err := d.client(t, operator).Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = resp.Body.Close() }() // the stream has no end
		lines := newLines(resp.Body)
		for len(lines.got) < n && lines.next() {
		}
		return lines.got
	}
	first := read(0, "", "application/x-ndjson", 6)
	var cursors []string
	for _, line := range first {
		fits(t, `{"cursor":"text","type":"text","time":"time"}`, []byte(line))
		var e api.Event
		oneDocument(t, []byte(line), &e)
		if !regexp.MustCompile(`^\d+\.\d+$`).MatchString(e.Cursor.String()) {
			t.Errorf("cursor %q is not index.sub", e.Cursor)
		}
		cursors = append(cursors, e.Cursor.String())
	}
	// On another scheduler the cursor means the same place.
	if again := read(1, cursors[2], "application/x-ndjson", 3); !slices.Equal(again, first[3:]) {
		t.Errorf("after %s came\n%s\nwant\n%s", cursors[2], strings.Join(again, "\n"), strings.Join(first[3:], "\n"))
	}
	if sse := read(2, "", "text/event-stream", 3); !strings.Contains(strings.Join(sse, "\n"), cursors[0]) {
		t.Errorf("server-sent events: %q", sse)
	}
}

// fits compares a document with a shape.
func fits(t *testing.T, shape string, document []byte) {
	t.Helper()
	var want, got any
	if err := json.Unmarshal([]byte(shape), &want); err != nil {
		t.Fatalf("the shape is no JSON: %v: %s", err, shape)
	}
	oneDocument(t, document, &got)
	for _, fault := range compare("", want, got) {
		t.Error(fault)
	}
	if t.Failed() {
		t.Logf("%.2000s", document)
	}
}

func compare(at string, want, got any) []string {
	switch want := want.(type) {
	case map[string]any:
		return compareObject(at, want, got)
	case []any:
		list, ok := got.([]any)
		if !ok || len(list) == 0 && len(want) == 1 {
			return []string{fmt.Sprintf("%s is %v, want a list with items", at, got)}
		}
		var faults []string
		for i, item := range list {
			faults = append(faults, compare(fmt.Sprintf("%s[%d]", at, i), want[0], item)...)
		}
		return faults
	case float64:
		if _, ok := got.(float64); ok {
			return nil
		}
	case bool:
		if _, ok := got.(bool); ok {
			return nil
		}
	case string:
		if text, ok := got.(string); ok && fitsText(want, text) {
			return nil
		}
	}
	return []string{fmt.Sprintf("%s is %v (%T), want %v", at, got, got, want)}
}

func compareObject(at string, want map[string]any, got any) []string {
	object, ok := got.(map[string]any)
	if !ok {
		return []string{fmt.Sprintf("%s is %v, want an object", at, got)}
	}
	var faults []string
	for key, value := range want {
		name, optional := strings.CutSuffix(key, "?")
		field, there := object[name]
		if !there && optional {
			continue
		}
		if !there {
			faults = append(faults, fmt.Sprintf("%s.%s is missing", at, name))
			continue
		}
		faults = append(faults, compare(at+"."+name, value, field)...)
	}
	return faults
}

func fitsText(want, got string) bool {
	switch want {
	case "":
		return true
	case "text":
		return got != ""
	case "time":
		_, err := time.Parse(time.RFC3339, got)
		return err == nil
	case "digest":
		return api.CheckDigest(api.Digest(got)) == nil
	case "hex":
		return regexp.MustCompile(`^[0-9a-f]{64}$`).MatchString(got)
	}
	return slices.Contains(strings.Split(want, "|"), got)
}
