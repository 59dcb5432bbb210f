package integration

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/integration/internal/harness"
)

// testLeases walks through the life of a lease, each verb once too often.
func (d *door) testLeases(t *testing.T) {
	defer d.sound(t)
	grant := func(t *testing.T, args ...string) []api.Grant {
		t.Helper()
		var set api.GrantSet
		d.into(t, &set, append([]string{"lease", "request", "--provider", "local", "--tenant", "acme"}, args...)...)
		return set.Leases
	}
	one := grant(t, "--mem", "64K", "--ttl", "5m")[0]
	id := string(one.ID)
	tokenFile := func(name, token string) string {
		file := filepath.Join(d.scratch, name)
		if err := os.WriteFile(file, []byte(token), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	first := tokenFile("first", one.Token)

	t.Run("all on one cell", func(t *testing.T) {
		set := grant(t, "--cpu", "5", "--mem", "1M", "--block", "1M", "--ttl", "1s")
		var kinds strings.Builder
		for _, g := range set {
			kinds.WriteString(string(g.Kind) + " ")
			if g.CellID != set[0].CellID || g.State != api.LeaseActive || g.BoundAt.IsZero() || g.Token == "" {
				t.Errorf("%+v", g)
			}
		}
		if kinds.String() != "cpu mem block " {
			t.Errorf("kinds are %s", kinds.String())
		}
		d.refuse(t, api.InvalidArgument, 2, "nothing to read", "lease", "read", string(set[0].ID))
		eventually(t, 5*time.Second, func() string { // 1 s to its end, 1 s to its teardown
			for _, g := range set {
				if l := showLease(t, d, g.ID); l.State != api.LeaseTornDown || l.Reason != "expired" {
					return "lease " + string(g.ID) + " is " + string(l.State)
				}
			}
			return ""
		})
		d.refuse(t, api.LeaseExpiredKind, 6, "expired", "lease", "token", string(set[1].ID))
		d.refuse(t, api.LeaseExpiredKind, 6, "expired", "lease", "renew", string(set[1].ID))
		d.refuse(t, api.LeaseExpiredKind, 6, "expired", "lease", "read", string(set[1].ID))
	})
	t.Run("write and read", func(t *testing.T) {
		d.mustInput(t, []byte("forty-two"), "lease", "write", id, "--offset", "4K", "--lease-token", first)
		said := d.exec(t, nil, "lease", "read", id[:12], "--offset", "4K", "--length", "9")
		if string(said.Stdout) != "forty-two" || said.Code != 0 {
			t.Errorf("exit %d, %q, %s", said.Code, said.Stdout, said.Stderr)
		}
		all := d.exec(t, nil, "lease", "read", id, "--lease-token", first)
		if len(all.Stdout) != 64<<10 || strings.Trim(string(all.Stdout[:4096]), "\x00") != "" {
			t.Errorf("read %d bytes", len(all.Stdout))
		}
		d.refuse(t, api.InvalidArgument, 2, "past the end", "lease", "read", id, "--offset", "64K", "--length", "1")
		d.refuse(t, api.InvalidArgument, 2, "past the end", "lease", "read", id, "--length", "1T")
		if said := d.exec(t, make([]byte, 64<<10+1), "lease", "write", id, "--json"); said.Code != 2 {
			t.Errorf("a write past the end: exit %d: %s", said.Code, said.Stderr)
		}
	})
	t.Run("token of another cell", func(t *testing.T) {
		other := grant(t, "--mem", "64K")[0]
		for other.CellID == one.CellID { // the next one goes where fewer leases are
			other = grant(t, "--mem", "64K")[0]
		}
		d.refuse(t, api.WrongAudience, 6, "is for cell", "lease", "read", id, "--lease-token", tokenFile("foreign", other.Token))
	})
	t.Run("token of another lease", func(t *testing.T) {
		other := grant(t, "--mem", "64K")[0]
		for other.CellID != one.CellID {
			other = grant(t, "--mem", "64K")[0]
		}
		p := d.exec(t, nil, "lease", "read", id, "--lease-token", tokenFile("sibling", other.Token), "--json")
		if p.Code != 6 {
			t.Errorf("exit %d: %s", p.Code, p.Stderr)
		}
	})
	t.Run("forged token", func(t *testing.T) {
		forged := []byte(one.Token)
		at := strings.LastIndex(one.Token, ".") - 20 // within the signature
		forged[at] = 'A'
		if one.Token[at] == 'A' {
			forged[at] = 'B'
		}
		d.refuse(t, api.BadSignature, 6, "", "lease", "read", id, "--lease-token", tokenFile("forged", string(forged)))
		d.refuse(t, api.BadSignature, 6, "not a capability token", "lease", "read", id, "--lease-token", tokenFile("nonsense", "v4.public.nonsense"))
		d.refuse(t, api.TooLarge, 2, "2048", "lease", "read", id, "--lease-token", tokenFile("long", "v4.public."+strings.Repeat("A", 3000)))
	})
	t.Run("no token", func(t *testing.T) {
		h, err := d.DataPlane()
		if err != nil {
			t.Fatal(err)
		}
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, one.Coordinate, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := h.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		var p api.Error
		if err := json.NewDecoder(resp.Body).Decode(&p); err != nil || resp.StatusCode != http.StatusUnauthorized || p.Kind != api.Unauthenticated {
			t.Errorf("%s, %v: %+v", resp.Status, err, p)
		}
		_ = resp.Body.Close()
	})
	t.Run("no certificate", func(t *testing.T) {
		conf, err := d.TLS(nil, api.RoleCell)
		if err != nil {
			t.Fatal(err)
		}
		h := &http.Client{Transport: &http.Transport{TLSClientConfig: conf}, Timeout: 10 * time.Second}
		if _, err := harness.Read(t.Context(), h, one, 1); err == nil || !strings.Contains(err.Error(), "certificate required") {
			t.Errorf("without a certificate: %v", err)
		}
	})
	t.Run("renew", func(t *testing.T) {
		var a api.LeaseAnswer
		d.into(t, &a, "lease", "renew", id, "--ttl", "10m")
		if a.Lease.Generation != 2 || a.Lease.Token == "" || a.Lease.Token == one.Token || !a.Lease.ExpiresAt.After(one.ExpiresAt) {
			t.Errorf("renewed: %+v", a.Lease)
		}
		d.refuse(t, api.StaleGeneration, 6, "generation", "lease", "read", id, "--length", "1", "--lease-token", first)
		d.into(t, &a, "lease", "renew", id)
		if a.Lease.Generation != 3 || a.Lease.TTLMs != 600_000 {
			t.Errorf("renewed again: generation %d, ttl %d", a.Lease.Generation, a.Lease.TTLMs)
		}
	})
	t.Run("token", func(t *testing.T) {
		var a, b api.LeaseAnswer
		d.into(t, &a, "lease", "token", id)
		d.into(t, &b, "lease", "token", id)
		if a.Lease.Token == "" || a.Lease.Token == b.Lease.Token || a.Lease.Generation != 3 {
			t.Errorf("tokens are not fresh: %+v", a.Lease)
		}
		said := d.exec(t, nil, "lease", "read", id, "--offset", "4K", "--length", "9", "--lease-token", tokenFile("fresh", a.Lease.Token))
		if string(said.Stdout) != "forty-two" {
			t.Errorf("exit %d, %q, %s", said.Code, said.Stdout, said.Stderr)
		}
	})
	t.Run("no secret is kept", func(t *testing.T) {
		for _, args := range []string{"lease list --all", "lease show " + id, "admin audit-query"} {
			if out := d.must(t, strings.Fields(args)...); strings.Contains(string(out), "v4.public") {
				t.Errorf("%s shows a capability token", args)
			}
		}
	})
	t.Run("free twice", func(t *testing.T) {
		for range 2 {
			var a api.LeaseAnswer
			d.into(t, &a, "lease", "free", id)
			if a.Lease.Reason != "released" || a.Lease.State.Usable() || a.Lease.Token != "" {
				t.Errorf("freed: %+v", a.Lease)
			}
		}
		torndown(t, d, one.ID)
		d.refuse(t, api.LeaseRevoked, 6, "released", "lease", "renew", id)
		d.refuse(t, api.LeaseRevoked, 6, "released", "lease", "token", id)
		d.refuse(t, api.LeaseRevoked, 6, "released", "lease", "write", id)
		d.must(t, "lease", "free", id)
		d.must(t, "lease", "revoke", id, "--yes")
	})
	t.Run("revoke", func(t *testing.T) {
		g := grant(t, "--mem", "64K")[0]
		d.must(t, "lease", "revoke", string(g.ID), "--yes", "--reason", "maintenance")
		torndown(t, d, g.ID)
		d.refuse(t, api.LeaseRevoked, 6, "revoked", "lease", "read", string(g.ID), "--lease-token", tokenFile("revoked", g.Token))
		d.must(t, "lease", "revoke", string(g.ID), "--yes")
	})
	t.Run("revoke with grace", func(t *testing.T) {
		g := grant(t, "--mem", "64K", "--ttl", "5m")[0]
		var a api.LeaseAnswer
		d.into(t, &a, "lease", "revoke", string(g.ID), "--yes", "--grace", "1s")
		if a.Lease.State != api.LeaseRevokeWarning && a.Lease.State != api.LeaseGraceRunning {
			t.Errorf("with grace it is %s", a.Lease.State)
		}
		d.must(t, "lease", "read", string(g.ID), "--length", "1") // until then it works
		torndown(t, d, g.ID)
	})
	t.Run("dry run", func(t *testing.T) {
		g := grant(t, "--mem", "64K")[0]
		before := len(leasesOf(t, d, "acme"))
		for _, args := range []string{
			"lease request --provider local --tenant acme --mem 1M", "lease renew " + string(g.ID), "lease free " + string(g.ID),
			"lease revoke " + string(g.ID), "admin delete-tenant globex", "admin set-quota acme --mem 1K",
			"provider disable local", "provider revoke-cell local local-1",
		} {
			if said := d.exec(t, nil, append(strings.Fields(args), "--dry-run", "--json")...); said.Code != 0 {
				t.Errorf("%s --dry-run: exit %d: %s", args, said.Code, said.Stderr)
			}
		}
		if l := showLease(t, d, g.ID); l.State != api.LeaseActive || l.Generation != 1 || len(leasesOf(t, d, "acme")) != before {
			t.Errorf("a dry run changed something: %+v", l)
		}
	})
	t.Run("prefix", func(t *testing.T) {
		d.refuse(t, api.InvalidArgument, 2, "ambiguous", "lease", "show", "l-")
	})
	freeAll(t, d, "acme")
	t.Run("tenant with leases", func(t *testing.T) {
		g := grant(t, "--mem", "64K", "--ttl", "5m")[0]
		d.refuse(t, api.TenantHasLeases, 7, "lease", "admin", "delete-tenant", "acme", "--yes")
		d.must(t, "lease", "free", string(g.ID))
		torndown(t, d, g.ID)
	})
}

func showLease(t *testing.T, d *door, id api.LeaseID) api.Lease {
	t.Helper()
	var a api.LeaseAnswer
	d.into(t, &a, "lease", "show", string(id))
	return a.Lease.Lease
}

// torndown waits until a lease has ended, cleanly.
func torndown(t *testing.T, d *door, ids ...api.LeaseID) {
	t.Helper()
	eventually(t, 5*time.Second, func() string {
		for _, id := range ids {
			if l := showLease(t, d, id); l.State != api.LeaseTornDown {
				return "lease " + string(id) + " is " + string(l.State)
			}
		}
		return ""
	})
}

// freeAll gives everything back that a tenant holds.
func freeAll(t *testing.T, d *door, tenant string) {
	t.Helper()
	var ids []api.LeaseID
	for _, l := range leasesOf(t, d, tenant) {
		d.must(t, "lease", "free", string(l.ID))
		ids = append(ids, l.ID)
	}
	torndown(t, d, ids...)
}

// testIdempotency repeats requests: the same ones are done once, others under the same key
// are refused.
func (d *door) testIdempotency(t *testing.T) {
	defer d.sound(t)
	ask := func(key, tenant, mem string) []string {
		return []string{"lease", "request", "--provider", "local", "--tenant", tenant, "--mem", mem, "--ttl", "5m", "--idempotency-key", key}
	}
	var first, again, other api.GrantSet
	d.into(t, &first, ask("once", "acme", "1M")...)
	t.Run("again", func(t *testing.T) {
		d.into(t, &again, ask("once", "acme", "1M")...)
		if again.Leases[0].ID != first.Leases[0].ID || again.Leases[0].Token == "" {
			t.Errorf("%s, then %s with token %q", first.Leases[0].ID, again.Leases[0].ID, again.Leases[0].Token)
		}
	})
	t.Run("another body", func(t *testing.T) {
		d.refuse(t, api.Conflict, 7, "key", ask("once", "acme", "2M")...)
		d.refuse(t, api.Conflict, 7, "key", "lease", "free", string(first.Leases[0].ID), "--idempotency-key", "once")
		if l := showLease(t, d, first.Leases[0].ID); l.State != api.LeaseActive {
			t.Errorf("the lease is %s", l.State)
		}
	})
	t.Run("another tenant", func(t *testing.T) {
		d.into(t, &other, ask("once", "globex", "2M")...)
		if other.Leases[0].ID == first.Leases[0].ID {
			t.Error("a key of one tenant answered another one")
		}
	})
	t.Run("all at once", func(t *testing.T) {
		var wg sync.WaitGroup
		ids := make([]api.LeaseID, 8)
		for i := range ids {
			wg.Go(func() {
				_, b := d.send(t, call{
					who: operator, path: "/api/v1/leases", at: i % len(d.urls), header: map[string]string{"Idempotency-Key": "together"},
					body: `{"provider":"local","tenant":"acme","ttl_ms":60000,"resources":{"mem":4096}}`,
				})
				var set api.GrantSet
				if err := json.Unmarshal(b, &set); err == nil && len(set.Leases) == 1 && set.Leases[0].Token != "" {
					ids[i] = set.Leases[0].ID
				}
			})
		}
		wg.Wait()
		for _, id := range ids {
			if id == "" || id != ids[0] {
				t.Fatalf("eight requests with one key were granted %v", ids)
			}
		}
	})
	t.Run("a refusal is not kept", func(t *testing.T) {
		d.must(t, "admin", "set-quota", "acme", "--leases", "1")
		d.refuse(t, api.QuotaExceeded, 4, "", ask("later", "acme", "4M")...)
		d.must(t, "admin", "set-quota", "acme", "--leases", "100")
		d.must(t, ask("later", "acme", "4M")...)
	})
	t.Run("verbs", func(t *testing.T) {
		id := string(first.Leases[0].ID)
		var a, b api.LeaseAnswer
		d.into(t, &a, "lease", "renew", id, "--ttl", "6m", "--idempotency-key", "renewal")
		d.into(t, &b, "lease", "renew", id, "--ttl", "6m", "--idempotency-key", "renewal")
		if a.Lease.Generation != b.Lease.Generation || a.Lease.ExpiresAt != b.Lease.ExpiresAt {
			t.Errorf("a renewal was done twice: generation %d, then %d", a.Lease.Generation, b.Lease.Generation)
		}
		d.refuse(t, api.Conflict, 7, "key", "lease", "renew", id, "--ttl", "7m", "--idempotency-key", "renewal")
		d.must(t, "lease", "revoke", id, "--yes", "--grace", "60s", "--idempotency-key", "revocation")
		d.must(t, "lease", "revoke", id, "--yes", "--grace", "60s", "--idempotency-key", "revocation")
		d.refuse(t, api.Conflict, 7, "key", "lease", "revoke", id, "--yes", "--grace", "0s", "--idempotency-key", "revocation")
		d.must(t, "admin", "create-tenant", "once-only", "--idempotency-key", "creation")
		d.must(t, "admin", "create-tenant", "once-only", "--idempotency-key", "creation")
		d.refuse(t, api.Conflict, 7, "key", "admin", "create-tenant", "once-more", "--idempotency-key", "creation")
		d.must(t, "admin", "delete-tenant", "once-only", "--yes")
	})
	t.Run("runs", func(t *testing.T) {
		module := d.module(t, "keyed", hello)
		var a, b api.RunAnswer
		d.into(t, &a, "deploy", "run", "--provider", "local", "--module", module, "--idempotency-key", "run-once")
		d.into(t, &b, "deploy", "run", "--provider", "local", "--module", module, "--idempotency-key", "run-once")
		if a.ID != b.ID {
			t.Errorf("a run was started twice: %s and %s", a.ID, b.ID)
		}
		d.refuse(t, api.Conflict, 7, "key", "deploy", "run", "--provider", "local", "--module", module, "--mem", "2M", "--idempotency-key", "run-once")
	})
	freeAll(t, d, "acme")
	freeAll(t, d, "globex")
}

// reach reads a little of a lease with its own token.
func reach(t *testing.T, d *door, g api.Grant) error {
	t.Helper()
	h, err := d.DataPlane()
	if err != nil {
		t.Fatal(err)
	}
	_, err = harness.Read(t.Context(), h, g, 1)
	return err
}
