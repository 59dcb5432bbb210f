package cli

import (
	"context"
	"strings"
	"testing"

	"github.com/grafos/grafos/api"
)

// exitCodes is spec section 4 and 9, kind by kind.
func exitCodes() map[int][]api.Kind {
	return map[int][]api.Kind{
		1: {
			api.FuelExhausted, api.MemoryExceeded, api.DeadlineExceeded, api.OutputExceeded, api.Trap, api.ExitNonzero,
			api.InvalidModule, api.WorkerLost, api.Internal,
		},
		2: {api.InvalidArgument, api.TooLarge, api.DigestMismatch},
		4: {api.RuntimeNotReady, api.NoEligibleProviderCells, api.PlacementFailed, api.QuotaExceeded},
		5: {api.NotFound},
		6: {
			api.Unauthenticated, api.Forbidden, api.IdentityMismatch, api.IdentityRevoked, api.BootstrapTokenInvalid, api.BootstrapTokenUsed,
			api.AttestationFailed,
			api.LeaseExpiredKind, api.LeaseRevoked, api.LeaseFencedKind, api.StaleGeneration, api.StaleEpoch, api.WrongAudience,
			api.BadSignature, api.CaveatFailed, api.TokenExpired,
		},
		7: {api.Conflict, api.TenantHasLeases, api.SchedulerRemoved},
		8: {api.Overloaded, api.NoLeader, api.OutcomeUnknown, api.BindTimeout},
	}
}

func TestExitCodeOfEveryKind(t *testing.T) {
	listed := 0
	for code, kinds := range exitCodes() {
		for _, kind := range kinds {
			listed++
			r := newRig(t)
			r.err = api.Refuse(kind, "it is so")
			r.run("run", "list").want(t, code, "", "Error: it is so  ("+string(kind)+")")
			got := r.run("run", "list", "--json")
			if p := got.problem(t); p.Kind != kind || got.code != code {
				t.Errorf("%s: exit %d, kind %s", kind, got.code, p.Kind)
			}
		}
	}
	if listed != len(api.Kinds()) {
		t.Errorf("%d kinds are tested, there are %d", listed, len(api.Kinds()))
	}
}

func TestUsage(t *testing.T) {
	tests := map[string]struct {
		args []string
		err  string
	}{
		"unknown command":       {[]string{"leas", "list"}, `grafos has no command "leas"`},
		"unknown command hint":  {[]string{"lease", "lst"}, "Hint: grafos lease list"},
		"unknown flag":          {[]string{"run", "list", "--tennant", "x"}, "Hint: --tenant"},
		"no number":             {[]string{"deploy", "run", "--retries", "x"}, `--retries is "x": it must be a whole number  (`},
		"number out of range":   {[]string{"deploy", "run", "--retries", "99999999999999999999"}, "must be a whole number of 64 bits"},
		"no truth":              {[]string{"deploy", "run", "--detach=x"}, `--detach is "x": it must be true or false`},
		"no duration":           {[]string{"fabric", "drain", "aws-1", "--grace", "5"}, `--grace is "5": it must be a duration such as 500ms, 30s or 5m`},
		"no size":               {[]string{"lease", "request", "--mem", "x"}, `--mem: size "x" is not`},
		"flag without value":    {[]string{"run", "list", "--tenant"}, "needs an argument"},
		"too many arguments":    {[]string{"run", "show", "a", "b"}, "grafos run show takes RUN: 2 given"},
		"no argument":           {[]string{"provider", "revoke-cell"}, "takes PROVIDER and CELL: 0 given"},
		"bad size":              {[]string{"lease", "request", "--provider", "aws", "--mem", "12Q"}, `size "12Q" is not`},
		"negative cpu":          {[]string{"lease", "request", "--provider", "aws", "--cpu", "-1"}, "whole number"},
		"overflow":              {[]string{"lease", "request", "--provider", "aws", "--mem", "99999999T"}, "size"},
		"ttl too long":          {[]string{"lease", "request", "--provider", "aws", "--mem", "1M", "--ttl", "25h"}, "1 s to 24 h"},
		"ttl without unit":      {[]string{"lease", "request", "--provider", "aws", "--mem", "1M", "--ttl", "60"}, "not a duration"},
		"nothing asked":         {[]string{"lease", "request", "--provider", "aws"}, "nothing is asked for"},
		"odd block":             {[]string{"lease", "request", "--provider", "aws", "--block", "513"}, "multiple of 512"},
		"bad priority":          {[]string{"lease", "request", "--provider", "aws", "--mem", "1M", "--priority", "high"}, "guaranteed, standard, scavenger"},
		"no provider":           {[]string{"deploy", "run", "--module", "hello.wasm"}, "--provider is missing"},
		"bad output":            {[]string{"run", "list", "-o", "yaml"}, `output "yaml"`},
		"bad jq":                {[]string{"lease", "request", "--provider", "aws", "--mem", "1M", "--jq", ".["}, "--jq"},
		"bad template":          {[]string{"run", "list", "--template", "{{"}, "--template"},
		"bad consistency":       {[]string{"run", "list", "--consistency", "maybe"}, "linearizable, stale"},
		"bad state":             {[]string{"lease", "list", "--state", "activ"}, "Hint: --state active"},
		"bad cursor":            {[]string{"fabric", "events", "--from", "yesterday"}, "cursor"},
		"bad env":               {[]string{"deploy", "run", "--provider", "aws", "--module", "hello.wasm", "--env", "X"}, "not K=V"},
		"no program":            {[]string{"deploy", "run", "--provider", "aws"}, "there is no grafos.toml"},
		"two directories":       {[]string{"deploy", "run", "--provider", "aws", "a", "b"}, "one DIR"},
		"missing module":        {[]string{"deploy", "run", "--provider", "aws", "--module", "gone.wasm"}, "gone.wasm"},
		"empty quota":           {[]string{"admin", "set-quota", "acme"}, "no limit is given"},
		"bad shell":             {[]string{"completion", "csh"}, "bash, zsh, fish"},
		"unknown context":       {[]string{"run", "list", "--context", "prod"}, "context"},
		"key too long":          {[]string{"lease", "free", "l-7f3a01", "--idempotency-key", strings.Repeat("k", 129)}, "129 bytes"},
		"empty key":             {[]string{"lease", "free", "l-7f3a01", "--idempotency-key", ""}, "Hint: give one"},
		"key with a line end":   {[]string{"lease", "free", "l-7f3a01", "--idempotency-key", "a\nb"}, "printable ASCII"},
		"key with a space":      {[]string{"admin", "create-tenant", "acme", "--idempotency-key", "a b"}, "printable ASCII"},
		"key that is not ASCII": {[]string{"deploy", "run", "--provider", "aws", "--module", "hello.wasm", "--idempotency-key", "kü"}, "printable ASCII"},
		"not to be confirmed":   {[]string{"lease", "revoke", "l-7f3a01"}, "Hint: add --yes"},
		"delete unconfirmed":    {[]string{"admin", "delete-tenant", "acme"}, "nobody to ask"},
		"revoke unconfirmed":    {[]string{"provider", "revoke-cell", "aws", "aws-1"}, "nobody to ask"},
		"ambiguous lease":       {[]string{"lease", "show", "l-7f"}, "l-7f3a01, l-7f9c22"},
		"ambiguous run":         {[]string{"run", "show", "r-5b"}, "ambiguous"},
		"ambiguous cell":        {[]string{"provider", "revoke-cell", "aws", "aws-", "--yes"}, "aws-1, aws-2"},
		"fuel of nothing":       {[]string{"deploy", "run", "--provider", "aws", "--module", "hello.wasm", "--fuel", "0"}, "fuel"},
		"negative timeout":      {[]string{"run", "list", "--timeout", "-1s"}, "negative"},
		"module is a directory": {[]string{"deploy", "run", "--provider", "aws", "--module", "."}, "is a directory"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			r.run(tt.args...).want(t, 2, "", tt.err)
			machine := r.run(append([]string{"--json"}, tt.args...)...)
			if p := machine.problem(t); machine.code != 2 || p.Kind != api.InvalidArgument {
				t.Errorf("with --json: exit %d, kind %s", machine.code, p.Kind)
			}
			for _, call := range r.calls {
				if strings.HasPrefix(call, "Request") || strings.HasPrefix(call, "Start") || strings.HasPrefix(call, "Revoke") {
					t.Errorf("%s was called", call)
				}
			}
		})
	}
}

func TestNoCluster(t *testing.T) {
	r := newRig(t)
	r.env = map[string]string{}
	r.run("run", "list").want(t, 2, "", "no cluster is known")
	r.run("version").want(t, 0, "grafos 0.1.0", "")
}

func TestRefusalShowsItsEvidence(t *testing.T) {
	r := newRig(t)
	problem := api.Refuse(api.QuotaExceeded, "tenant acme is at its quota").WithHint("grafos admin set-quota acme")
	problem.Shortage = &api.Shortage{Resource: "mem", Limit: 64 * gib, InUse: 63 * gib, Asked: 2 * gib}
	problem.Candidates = []api.Candidate{{CellID: "aws-2", Vetoes: []api.Veto{{Code: "healthy_cell", Message: "last heartbeat\n47s \x1b[31mago"}, {Code: "full", Message: "no room"}}}}
	problem.RequestID, problem.RetryAfterMs = "01JD", 1500
	r.err = problem
	for kind, cells := range map[api.Kind]string{
		api.PlacementFailed: "  aws-2  healthy_cell  last heartbeat 47s [31mago\n         full          no room\n",
		api.QuotaExceeded:   "", // no cell has to do with it
	} {
		problem.Kind = kind
		got := r.run("lease", "request", "--provider", "aws", "--mem", "2G")
		got.want(t, 4, "", "")
		want := "Error: tenant acme is at its quota  (" + string(kind) + ")\n  mem: asked 2 GiB, in use 63 GiB of 64 GiB\n" + cells +
			"Hint: grafos admin set-quota acme\nIt may work again in 1.5s.\nrequest 01JD\n"
		if got.err != want {
			t.Errorf("stderr:\n%s\nwant:\n%s", got.err, want)
		}
	}
	if p := r.run("lease", "request", "--provider", "aws", "--mem", "2G", "-o", "jsonl").problem(t); p.Shortage == nil || p.Asked != 2*gib {
		t.Errorf("the document lost its evidence: %+v", p)
	}
}

func TestOutcomeUnknownTellsTheKey(t *testing.T) {
	r := newRig(t)
	r.err = api.Refuse(api.OutcomeUnknown, "leadership moved")
	r.run("lease", "free", "l-7f3a01", "--idempotency-key", "k1").want(t, 8, "", "--idempotency-key k1")
	got := r.run("lease", "free", "l-7f3a01")
	if r.write.IdempotencyKey == "" || !strings.Contains(got.err, r.write.IdempotencyKey) {
		t.Errorf("the key %q that was made is not told:\n%s", r.write.IdempotencyKey, got.err)
	}
}

func TestEveryMutationTakesTheWriteFlags(t *testing.T) {
	mutations := [][]string{
		{"provider", "enable", "aws"},
		{"provider", "disable", "aws"},
		{"provider", "revoke-cell", "aws", "aws-1"},
		{"deploy", "run", "--provider", "aws", "--module", "hello.wasm"},
		{"lease", "request", "--provider", "aws", "--mem", "1M"},
		{"lease", "renew", "l-7f3a01"},
		{"lease", "free", "l-7f3a01"},
		{"lease", "revoke", "l-7f3a01"},
		{"admin", "create-tenant", "new"},
		{"admin", "set-quota", "acme", "--cpu", "1"},
		{"admin", "delete-tenant", "dev"},
	}
	for _, args := range mutations {
		t.Run(strings.Join(args[:2], " "), func(t *testing.T) {
			r := newRig(t)
			got := r.run(append(args, "--dry-run", "--reason", "why", "--idempotency-key", "k", "--yes")...)
			got.want(t, 0, "", "dry run: nothing was changed")
			want := api.WriteOptions{IdempotencyKey: "k", Reason: "why", DryRun: true}
			if r.write != want {
				t.Errorf("write options are %+v, want %+v", r.write, want)
			}
			for _, call := range r.calls {
				if call == "PutBlob" {
					t.Error("a dry run uploaded something")
				}
			}
		})
	}
}

func TestTimeoutIsExit8(t *testing.T) {
	r := newRig(t)
	r.err = context.DeadlineExceeded
	r.run("run", "list").want(t, 8, "", "outcome_unknown")
}
