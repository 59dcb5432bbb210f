package integration

import (
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/grafos/grafos/api"
)

// testCommandLine types what is wrong. Nothing of it reaches the state.
func (d *door) testCommandLine(t *testing.T) {
	defer d.sound(t)
	request := func(flags string) string { return "lease request --provider local " + flags }
	module := d.module(t, "fine", hello)
	long := strings.Repeat("a", 64)
	first := d.DevDir() + "/nodes/local-1"
	agent := "cell-agent --log-level off --identity " + first + "/identity --data-bind 127.0.0.1:0 --data-dir "
	taken := strings.TrimPrefix(d.urls[0], "https://")
	at := func(bind string) string {
		return "server --name taken --log-level off --material " + d.DevDir() + "/material --data-dir " + d.scratch + "/" + bind +
			" --bind 127.0.0.1:0 --raft-bind 127.0.0.1:0 --gossip-bind 127.0.0.1:0 --bootstrap-expect 1 --" + bind + " " + taken
	}
	for _, tt := range []struct {
		args  string
		kind  api.Kind
		exit  int
		words string
	}{
		{request("--mem 0"), api.InvalidArgument, 2, "nothing is asked for"},
		{request("--mem -1"), api.InvalidArgument, 2, "size"},
		{request("--mem 1.5G"), api.InvalidArgument, 2, "whole number"},
		{request("--mem 9223372036854775808"), api.InvalidArgument, 2, "size"},
		{request("--mem 99999999999T"), api.InvalidArgument, 2, "size"},
		{request("--cpu -1"), api.InvalidArgument, 2, "whole number"},
		{request("--cpu 99999999999999999999"), api.InvalidArgument, 2, "whole number"},
		{request("--cpu 9223372036854775807"), api.InvalidArgument, 2, "whole number"},
		{request("--gpu -2"), api.InvalidArgument, 2, ""},
		{request("--net -2"), api.InvalidArgument, 2, ""},
		{request("--block 513"), api.InvalidArgument, 2, "multiple of 512"},
		{request(""), api.InvalidArgument, 2, "nothing is asked for"},
		{request("--mem 1M --ttl 999ms"), api.InvalidArgument, 2, "1 s to 24 h"},
		{request("--mem 1M --ttl 0s"), api.InvalidArgument, 2, "1 s to 24 h"},
		{request("--mem 1M --ttl -5s"), api.InvalidArgument, 2, "1 s to 24 h"},
		{request("--mem 1M --ttl 24h1ms"), api.InvalidArgument, 2, "1 s to 24 h"},
		{request("--mem 1M --ttl 60"), api.InvalidArgument, 2, "60s"},
		{request("--mem 1M --priority urgent"), api.InvalidArgument, 2, "scavenger"},
		{request("--mem 1M --tenant No/Name"), api.InvalidArgument, 2, "character"},
		{request("--mem 1M --tenant nobody-made-it"), api.NotFound, 5, "admin create-tenant nobody-made-it"},
		{request("--mem 1M --idempotency-key " + strings.Repeat("k", 129)), api.InvalidArgument, 2, "129"},
		{request("--mem 1M --cpus 3"), api.InvalidArgument, 2, "--cpu"},
		{request("--mem 1M extra"), api.InvalidArgument, 2, "takes no argument"},
		{"lease request --mem 1M", api.InvalidArgument, 2, "--provider is missing"},
		{"lease request --provider nowhere --mem 1M", api.NotFound, 5, "provider list"},
		{"lease request --provider No/Name --mem 1M", api.InvalidArgument, 2, "character"},
		{"lease request --provider " + long + " --mem 1M", api.InvalidArgument, 2, "longer than 63"},
		{"lease show l-nosuchlease", api.NotFound, 5, "lease list"},
		{"lease free l-nosuchlease", api.NotFound, 5, "does not exist"},
		{"lease renew l-nosuchlease", api.NotFound, 5, "does not exist"},
		{"lease renew l-nosuchlease --ttl 25h", api.InvalidArgument, 2, "1 s to 24 h"},
		{"lease revoke l-nosuchlease --yes", api.NotFound, 5, "does not exist"},
		{"lease revoke l-nosuchlease", api.InvalidArgument, 2, "--yes"},
		{"lease token l-nosuchlease", api.NotFound, 5, "does not exist"},
		{"lease read l-nosuchlease", api.NotFound, 5, "does not exist"},
		{"lease list --state lost", api.InvalidArgument, 2, "active"},
		{"leese list", api.InvalidArgument, 2, "no command"},
		{"provider status nowhere", api.NotFound, 5, "provider list"},
		{"provider enable nowhere", api.NotFound, 5, "not configured"},
		{"provider disable nowhere", api.NotFound, 5, "not configured"},
		{"provider revoke-cell local local-9 --yes", api.NotFound, 5, "local-9"},
		{"provider revoke-cell nowhere local-1 --yes", api.NotFound, 5, "nowhere"},
		{"provider revoke-cell aws local-1 --yes", api.NotFound, 5, "local-1"},
		{"provider revoke-cell local local-1", api.InvalidArgument, 2, "--yes"},
		{"provider revoke-cell local local- --yes", api.InvalidArgument, 2, "ambiguous"},
		{"deploy plan --provider nowhere", api.NotFound, 5, "provider list"},
		{"deploy run --provider nowhere --module " + module, api.NotFound, 5, "provider list"},
		{"deploy run --provider local --module /nowhere/a.wasm", api.InvalidArgument, 2, "/nowhere/a.wasm"},
		{"deploy run --provider local --module " + d.scratch, api.InvalidArgument, 2, "directory"},
		{"deploy run --provider local", api.InvalidArgument, 2, "grafos.toml"},
		{"deploy run --provider local --module " + module + " --cpu 0", api.InvalidArgument, 2, "cpu"},
		{"deploy run --provider local --module " + module + " --mem 0", api.InvalidArgument, 2, "mem"},
		{"deploy run --provider local --module " + module + " --mem 64", api.InvalidArgument, 2, "at least 65536"},
		{"deploy plan --provider local --module " + module + " --mem 64", api.InvalidArgument, 2, "at least 65536"},
		{"deploy run --provider local --module " + module + " --ttl 25h", api.InvalidArgument, 2, "1 s to 24 h"},
		{"deploy run --provider local --module " + module + " --retries 11", api.InvalidArgument, 2, "retries"},
		{"deploy run --provider local --module " + module + " --retries -1", api.InvalidArgument, 2, "retries"},
		{"deploy run --provider local --module " + module + " --fuel -5", api.InvalidArgument, 2, "fuel"},
		{"deploy run --provider local --module " + module + " --env novalue", api.InvalidArgument, 2, "K=V"},
		{"deploy run --provider local --module " + module + " --input /nowhere", api.InvalidArgument, 2, "/nowhere"},
		{"deploy run --provider local --module " + module + " --tenant nobody-made-it", api.NotFound, 5, "nobody-made-it"},
		{"admin create-tenant acme", api.Conflict, 7, "exists already"},
		{"admin create-tenant No/Name", api.InvalidArgument, 2, "character"},
		{"admin create-tenant " + long, api.InvalidArgument, 2, "longer than 63"},
		{"admin set-quota nobody-made-it --mem 1G", api.NotFound, 5, "nobody-made-it"},
		{"admin set-quota acme --mem -5", api.InvalidArgument, 2, ""},
		{"admin set-quota acme", api.InvalidArgument, 2, "no limit"},
		{"admin delete-tenant nobody-made-it --yes", api.NotFound, 5, "nobody-made-it"},
		{"admin delete-tenant acme", api.InvalidArgument, 2, "--yes"},
		{"admin issue-cert --role king --name x --out " + d.scratch + "/king", api.InvalidArgument, 2, "operator, tenant, viewer"},
		{"admin issue-cert --role tenant --out " + d.scratch + "/king", api.InvalidArgument, 2, "name is empty"},
		{"admin issue-cert --role cell --cell-id c-1 --out " + d.scratch + "/king", api.InvalidArgument, 2, "provider"},
		{"admin issue-cert --role tenant --name acme", api.InvalidArgument, 2, "--out"},
		{"admin issue-cert --role tenant --name acme --material /nowhere --out " + d.scratch + "/king", api.NotFound, 5, "init-ca"},
		{"admin init-ca --out " + d.DevDir() + "/material", api.Conflict, 7, "already"},
		{"admin init-ca", api.InvalidArgument, 2, "--out"},
		{"admin bootstrap-token --provider No/Name", api.InvalidArgument, 2, "character"},
		{"admin bootstrap-token --provider local --ttl 0s", api.InvalidArgument, 2, "above 0"},
		{"admin bootstrap-token --provider local --ttl 25h", api.InvalidArgument, 2, "at most"},
		{"admin bootstrap-token --provider local --uses 0", api.InvalidArgument, 2, "1 to 1000"},
		{"fabric events --from yesterday", api.InvalidArgument, 2, "cursor"},
		{"run cancel", api.InvalidArgument, 2, ""},
		{"completion csh", api.InvalidArgument, 2, "bash, zsh, fish"},
		{"version now", api.InvalidArgument, 2, "takes no argument"},
		{"provider list --timeout -1s", api.InvalidArgument, 2, "negative"},
		{"provider list --consistency perhaps", api.InvalidArgument, 2, "linearizable, stale"},
		{"provider list --fabric http://127.0.0.1:1", api.InvalidArgument, 2, "https"},
		{"provider list --fabric https://127.0.0.1:1 --timeout 300ms", api.NoLeader, 8, "check the addresses"},
		{"provider list --cert /nowhere/cert.pem --key /nowhere/key.pem", api.InvalidArgument, 2, "/nowhere"},
		{"provider list --context nosuchcontext", api.InvalidArgument, 2, "nosuchcontext"},
		{"dev up --schedulers 2", api.InvalidArgument, 2, "3 or 5"},
		{"dev up --cells 0", api.InvalidArgument, 2, "1 to 64"},
		{"dev up --schedulers 5", api.Conflict, 7, "dev down"},
		{"dev kill s9", api.NotFound, 5, "dev status"},
		{"dev kill", api.InvalidArgument, 2, "one node"},
		{"dev kill s1 --signal HUP", api.InvalidArgument, 2, "KILL, STOP"},
		{"dev restart local-9", api.NotFound, 5, "dev status"},
		{"server --bootstrap-expect 3", api.InvalidArgument, 2, "not given"},
		{"server --name x --data-dir " + d.scratch + "/x --material /nowhere", api.NotFound, 5, "init-ca"},
		{"cell-agent --data-dir " + d.scratch + "/x", api.InvalidArgument, 2, "bootstrap-cell"},
		{"cell-agent --data-dir " + d.scratch + "/x --identity /nowhere", api.InvalidArgument, 2, "bootstrap-cell"},
		{agent + d.scratch + "/x --schedulers http://127.0.0.1:7490", api.InvalidArgument, 2, "https://host:port"},
		{agent + d.scratch + "/x --data-bind 127.0.0.1:99999", api.InvalidArgument, 2, "65535"},
		{agent + d.scratch + "/x --data-bind " + taken, api.Conflict, 7, "another process listens"},
		{agent + d.scratch + "/x --reserve-mem 8191G", api.InvalidArgument, 2, "--reserve-mem"},
		{agent + first + "/data", api.Conflict, 7, "another cell agent"},
		{"cloud bootstrap-cell --provider local --cell-id x --ca-pin 00 --token-file " + first + "/identity/cell.json --scheduler http://127.0.0.1:7490", api.InvalidArgument, 2, "https://host:port"},
		{at("bind"), api.Conflict, 7, "another process listens"},
		{at("raft-bind"), api.Conflict, 7, "--raft-bind"},
		{at("gossip-bind"), api.Conflict, 7, "--gossip-bind"},
	} {
		t.Run(tt.args[:min(len(tt.args), 90)], func(t *testing.T) {
			d.refuse(t, tt.kind, tt.exit, tt.words, strings.Fields(tt.args)...)
		})
	}
	for _, n := range []int{2, 4, 6, 0, -1, 7} {
		t.Run(fmt.Sprintf("bootstrap-expect %d", n), func(t *testing.T) {
			d.refuse(t, api.InvalidArgument, 2, "1, 3 or 5", "server", "--name", "even", "--data-dir", d.scratch+"/even", "--material", d.DevDir()+"/material",
				"--bind", "127.0.0.1:0", "--raft-bind", "127.0.0.1:0", "--gossip-bind", "127.0.0.1:0", "--bootstrap-expect", fmt.Sprint(n))
		})
	}
}

// testHTTP sends what is wrong to the leader and to a follower, as an operator.
func (d *door) testHTTP(t *testing.T) {
	defer d.sound(t)
	const good = `{"provider":"local","tenant":"acme","ttl_ms":60000,"resources":{"mem":4096}}`
	lease := func(resources string) string {
		return `{"provider":"local","tenant":"acme","ttl_ms":60000,"resources":` + resources + `}`
	}
	ttl := func(ms string) string {
		return `{"provider":"local","tenant":"acme","ttl_ms":` + ms + `,"resources":{"mem":4096}}`
	}
	sum := fmt.Sprintf("sha256:%x", sha256.Sum256([]byte("never put")))
	run := func(more string) string {
		return `{"provider":"local","tenant":"acme","ttl_ms":60000,"resources":{"cpu":10,"mem":65536},"module":"` + sum + `"` + more + `}`
	}
	for _, tt := range []struct {
		name  string
		kind  api.Kind
		words string
		call
	}{
		{"oversized body", api.TooLarge, "65536 bytes", call{path: "/leases", body: lease(`{"mem":1}`) + strings.Repeat(" ", 65536)}},
		{"oversized body of unknown length", api.TooLarge, "65536 bytes", call{path: "/leases", body: strings.Repeat("[", 70_000), length: -1}},
		{"oversized batch", api.TooLarge, "bytes", call{path: "/leases:batch", body: strings.Repeat(" ", 600<<10)}},
		{"empty body", api.InvalidArgument, "body", call{method: "POST", path: "/leases"}},
		{"malformed", api.InvalidArgument, "", call{path: "/leases", body: `{"provider":`}},
		{"not JSON", api.InvalidArgument, "", call{path: "/leases", body: `provider=local`}},
		{"an array", api.InvalidArgument, "", call{path: "/leases", body: `[` + good + `]`}},
		{"null", api.InvalidArgument, "", call{path: "/leases", body: `null`}},
		{"two documents", api.InvalidArgument, "", call{path: "/leases", body: good + good}},
		{"deep nesting", api.InvalidArgument, "", call{path: "/leases", body: strings.Repeat("[", 60_000)}},
		{"not UTF-8", api.InvalidArgument, "", call{path: "/leases", body: `{"provider":"loc` + "\xff" + `al","tenant":"acme","ttl_ms":60000,"resources":{"mem":4096}}`}},
		{"another media type", api.InvalidArgument, "", call{path: "/leases", body: "provider: local", header: map[string]string{"Content-Type": "application/yaml"}}},
		{"unknown field", api.InvalidArgument, "body.color", call{path: "/leases", body: strings.Replace(good, "{", `{"color":"red",`, 1)}},
		{"unknown field within", api.InvalidArgument, "body.resources.disk", call{path: "/leases", body: lease(`{"disk":1}`)}},
		{"field of another case", api.InvalidArgument, "Provider", call{path: "/leases", body: strings.Replace(good, "provider", "Provider", 1)}},
		{"no provider", api.InvalidArgument, "provider", call{path: "/leases", body: `{"tenant":"acme","ttl_ms":60000,"resources":{"mem":4096}}`}},
		{"provider that is no name", api.InvalidArgument, "character", call{path: "/leases", body: strings.Replace(good, "local", "../local", 1)}},
		{"unknown provider", api.NotFound, "provider list", call{path: "/leases", body: strings.Replace(good, "local", "nowhere", 1)}},
		{"unknown tenant", api.NotFound, "create-tenant", call{path: "/leases", body: strings.Replace(good, "acme", "nobody-made-it", 1)}},
		{"no tenant", api.InvalidArgument, "--tenant", call{path: "/leases", body: strings.Replace(good, `"tenant":"acme",`, "", 1)}},
		{"amount zero", api.InvalidArgument, "nothing is asked for", call{path: "/leases", body: lease(`{"mem":0}`)}},
		{"amount negative", api.InvalidArgument, "negative", call{path: "/leases", body: lease(`{"mem":-1}`)}},
		{"amount over its bound", api.InvalidArgument, "at most", call{path: "/leases", body: lease(`{"mem":9223372036854775807}`)}},
		{"amount over 64 bits", api.InvalidArgument, "", call{path: "/leases", body: lease(`{"mem":9223372036854775808}`)}},
		{"amount of 40 digits", api.InvalidArgument, "", call{path: "/leases", body: lease(`{"mem":` + strings.Repeat("9", 40) + `}`)}},
		{"amount with a fraction", api.InvalidArgument, "", call{path: "/leases", body: lease(`{"mem":1.5}`)}},
		{"amount as text", api.InvalidArgument, "body.resources.mem", call{path: "/leases", body: lease(`{"mem":"1G"}`)}},
		{"part of a block", api.InvalidArgument, "multiple of 512", call{path: "/leases", body: lease(`{"block":513}`)}},
		{"ttl too short", api.InvalidArgument, "1 s to 24 h", call{path: "/leases", body: ttl("999")}},
		{"ttl too long", api.InvalidArgument, "1 s to 24 h", call{path: "/leases", body: ttl("86400001")}},
		{"ttl negative", api.InvalidArgument, "1 s to 24 h", call{path: "/leases", body: ttl("-60000")}},
		{"ttl over 64 bits", api.InvalidArgument, "", call{path: "/leases", body: ttl("1e30")}},
		{"no ttl", api.InvalidArgument, "ttl", call{path: "/leases", body: `{"provider":"local","tenant":"acme","resources":{"mem":4096}}`}},
		{"unknown priority", api.InvalidArgument, "priority", call{path: "/leases", body: strings.Replace(good, "{", `{"priority":"urgent",`, 1)}},
		{"key with a space", api.InvalidArgument, "idempotency key", call{path: "/leases", body: good, header: map[string]string{"Idempotency-Key": "a b"}}},
		{"key too long", api.InvalidArgument, "Idempotency-Key", call{path: "/leases", body: good, header: map[string]string{"Idempotency-Key": strings.Repeat("k", 129)}}},
		{"unknown query", api.InvalidArgument, "query.colour", call{path: "/leases?colour=red"}},
		{"unknown consistency", api.InvalidArgument, "consistency", call{path: "/leases?consistency=perhaps"}},
		{"wait for ever", api.InvalidArgument, "wait", call{path: "/leases?index=1&wait=forever"}},
		{"wait for days", api.InvalidArgument, "5m", call{path: "/leases?index=1&wait=48h"}},
		{"negative index", api.InvalidArgument, "index", call{path: "/leases?index=-1"}},
		{"limit", api.InvalidArgument, "limit", call{path: "/leases?limit=100000"}},
		{"unknown state", api.InvalidArgument, "state", call{path: "/leases?state=lost"}},
		{"unknown lease", api.NotFound, "lease list", call{path: "/leases/l-nosuchlease"}},
		{"long lease id", api.InvalidArgument, "id", call{path: "/leases/" + strings.Repeat("l", 200)}},
		{"lease id of another shape", api.NotFound, "", call{path: "/leases/" + url.PathEscape("../../etc/passwd")}},
		{"unknown verb", api.NotFound, "openapi.json", call{method: "POST", path: "/leases/l-1:steal"}},
		{"verb of another method", api.InvalidArgument, "POST", call{path: "/leases/l-1:renew"}},
		{"method", api.InvalidArgument, "GET, POST", call{method: "DELETE", path: "/leases"}},
		{"unknown path", api.NotFound, "openapi.json", call{path: "/nonsense"}},
		{"renew for ever", api.InvalidArgument, "1 s to 24 h", call{path: "/leases/l-1:renew", body: `{"ttl_ms":86400001}`}},
		{"revoke with negative grace", api.InvalidArgument, "grace", call{path: "/leases/l-1:revoke", body: `{"grace_ms":-1}`}},
		{"empty batch", api.InvalidArgument, "1 to 256", call{path: "/leases:batch", body: `{"requests":[]}`}},
		{"batch of 257", api.InvalidArgument, "1 to 256", call{path: "/leases:batch", body: `{"requests":[` + strings.Repeat(good+",", 256) + good + `]}`}},
		{"plan of nothing", api.InvalidArgument, "nothing is asked for", call{path: "/plans", body: lease(`{}`)}},
		{"run of a module that was never put", api.NotFound, "never put by tenant acme", call{path: "/runs", body: run("")}},
		{"run of no digest", api.InvalidArgument, "digest", call{path: "/runs", body: strings.Replace(run(""), sum, "sha256:short", 1)}},
		{"run with less memory than a module has", api.InvalidArgument, "at least 65536", call{path: "/runs", body: strings.Replace(run(""), `"mem":65536`, `"mem":65535`, 1)}},
		{"run without cpu", api.InvalidArgument, "cpu", call{path: "/runs", body: strings.Replace(run(""), `"cpu":10`, `"cpu":0`, 1)}},
		{"run with too many retries", api.InvalidArgument, "retries", call{path: "/runs", body: run(`,"retries":11`)}},
		{"run with negative fuel", api.InvalidArgument, "fuel", call{path: "/runs", body: run(`,"fuel":-2`)}},
		{"run of unknown profile", api.InvalidArgument, "profile", call{path: "/runs", body: run(`,"profile":"java"`)}},
		{"run with a name of two lines", api.InvalidArgument, "tasklet", call{path: "/runs", body: run(`,"tasklet":"a\nb"`)}},
		{"unknown run", api.NotFound, "run list", call{path: "/runs/r-nosuchrun"}},
		{"unknown tenant's quota", api.NotFound, "nobody-made-it", call{path: "/tenants/nobody-made-it:quota", body: `{"cpu":1,"mem":-1,"block":-1,"net":-1,"gpu":-1,"leases":-1}`}},
		{"negative quota", api.InvalidArgument, "", call{path: "/tenants/acme:quota", body: `{"cpu":-7,"mem":-1,"block":-1,"net":-1,"gpu":-1,"leases":-1}`}},
		{"tenant that exists", api.Conflict, "exists", call{path: "/tenants", body: `{"tenant":"acme"}`}},
		{"blob that is another", api.DigestMismatch, "sha256", call{method: "PUT", path: "/blobs/" + sum, body: "other bytes"}},
		{"blob too large", api.TooLarge, "67108864", call{method: "PUT", path: "/blobs/" + sum, body: strings.Repeat("x", 64<<20+1)}},
		{"blob of no digest", api.InvalidArgument, "sha256", call{method: "PUT", path: "/blobs/md5:00", body: "bytes"}},
		{"blob that nobody put", api.NotFound, "does not exist", call{path: "/blobs/" + sum}},
		{"cursor", api.InvalidArgument, "cursor", call{path: "/events?from=yesterday"}},
		{"forwarding by somebody", api.Forbidden, "only a scheduler may", call{path: "/leases", header: map[string]string{"Grafos-Forwarded": "s1", "Grafos-Caller": "eyJSb2xlIjoib3BlcmF0b3IifQ=="}}},
		{"peer route", api.Forbidden, "scheduler", call{path: "!/peer/v1/read-index"}},
		{"cell route", api.Forbidden, "role cell", call{path: "/cells/local-1/watch?cell_epoch=1"}},
	} {
		for at := range 2 {
			t.Run(fmt.Sprintf("%s at %d", tt.name, at), func(t *testing.T) {
				r := tt.call
				r.who, r.at = operator, at
				if inner, ok := strings.CutPrefix(r.path, "!"); ok {
					r.path = inner
				} else {
					r.path = "/api/v1" + r.path
				}
				d.refuseHTTP(t, tt.kind, tt.words, r)
			})
		}
	}
	t.Run("nothing is half done", func(t *testing.T) {
		for _, l := range leasesOf(t, d, "acme") {
			t.Errorf("lease %s of %d %s came of a refused request", l.ID, l.Amount, l.Kind)
		}
	})
	t.Run("noise", d.testNoise)
}

// leasesOf lists a tenant's leases that have not ended.
func leasesOf(t *testing.T, d *door, tenant string) []api.Lease {
	t.Helper()
	var list api.LeaseList
	d.into(t, &list, "lease", "list", "--tenant", tenant)
	return list.Leases
}

// testNoise sends bytes that are no protocol at all to every port.
func (d *door) testNoise(t *testing.T) {
	states, err := d.States(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	noise := make([]byte, 64<<10)
	_, _ = rand.Read(noise) // it cannot fail
	shouts := [][]byte{noise, []byte("GET / HTTP/1.0\r\n\r\n"), {0x16, 3, 1, 0xff, 0xff}, {}}
	for _, s := range states {
		u, err := url.Parse(s.URL)
		if err != nil {
			t.Fatal(err)
		}
		gossip := d.flagOf(t, string(s.Node[:2]), "--gossip-bind")
		for _, addr := range []string{u.Host, s.RaftAddr, gossip} {
			for _, b := range shouts {
				shout(t, "tcp", addr, b)
			}
		}
		shout(t, "udp", gossip, noise[:1400])
		shout(t, "udp", gossip, noise[:1])
	}
	for at := range d.urls {
		if resp, _ := d.send(t, call{who: operator, path: "/readyz", at: at}); resp.StatusCode != http.StatusOK {
			t.Errorf("scheduler %d after noise: %s", at, resp.Status)
		}
	}
}

// shout writes b and waits until the other end hangs up, or a moment.
func shout(t *testing.T, network, addr string, b []byte) {
	t.Helper()
	conn, err := (&net.Dialer{Timeout: time.Second}).DialContext(t.Context(), network, addr)
	if err != nil {
		t.Errorf("%s does not listen: %v", addr, err)
		return
	}
	_, _ = conn.Write(b) // it may hang up before it has read everything
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.CloseWrite()
		_ = conn.SetReadDeadline(time.Now().Add(time.Second))
		_, _ = io.Copy(io.Discard, conn)
	}
	_ = conn.Close()
}
