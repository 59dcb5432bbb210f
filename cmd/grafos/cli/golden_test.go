package cli

import (
	"bytes"
	"encoding/json"
	"flag"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

var update = flag.Bool("update", false, "write the golden files anew")

// goldenCases has every command of the tree, as it is typed.
func goldenCases() map[string][]string {
	return map[string][]string{
		"grafos provider list":            {"provider", "list"},
		"grafos provider status":          {"provider", "status", "aws"},
		"grafos provider enable":          {"provider", "enable", "azure"},
		"grafos provider disable":         {"provider", "disable", "aws"},
		"grafos provider revoke-cell":     {"provider", "revoke-cell", "aws", "aws-2", "--yes"},
		"grafos fabric cells":             {"fabric", "cells"},
		"grafos fabric events":            {"fabric", "events"},
		"grafos fabric drain":             {"fabric", "drain", "aws-2", "--grace", "30s", "--yes"},
		"grafos fabric mark":              {"fabric", "mark", "aws-2", "--production"},
		"grafos provider mark":            {"provider", "mark", "aws", "--production"},
		"grafos conformance run":          {"conformance", "run", "aws", "aws-1"},
		"grafos fabric undrain":           {"fabric", "undrain", "aws-2"},
		"grafos deploy plan":              {"deploy", "plan", "--provider", "aws", "--mem", "512M"},
		"grafos deploy run":               {"deploy", "run", "--provider", "aws", "--module", "hello.wasm"},
		"grafos run list":                 {"run", "list"},
		"grafos run show":                 {"run", "show", "r-5b01aa"},
		"grafos artifacts":                {"artifacts", "r-5b01aa"},
		"grafos lease request":            {"lease", "request", "--provider", "aws", "--mem", "64M"},
		"grafos lease list":               {"lease", "list", "--all"},
		"grafos lease show":               {"lease", "show", "l-7f3a01"},
		"grafos lease renew":              {"lease", "renew", "l-7f3a01"},
		"grafos lease free":               {"lease", "free", "l-7f3a01"},
		"grafos admin list-fenced-leases": {"admin", "list-fenced-leases"},
		"grafos admin unfence-lease":      {"admin", "unfence-lease", "l-7f3a01", "--yes", "--reason", "the host was started anew"},
		"grafos lease revoke":             {"lease", "revoke", "l-7f3a01", "--yes"},
		"grafos lease token":              {"lease", "token", "l-7f3a01"},
		"grafos lease read":               {"lease", "read", "l-7f3a01", "--length", "5"},
		"grafos lease write":              {"lease", "write", "l-7f3a01"},
		"grafos admin create-tenant":      {"admin", "create-tenant", "new"},
		"grafos admin list-tenants":       {"admin", "list-tenants"},
		"grafos admin set-quota":          {"admin", "set-quota", "acme", "--mem", "128G", "--gpu", "unlimited"},
		"grafos admin delete-tenant":      {"admin", "delete-tenant", "dev", "--yes"},
		"grafos admin audit-query":        {"admin", "audit-query"},
		"grafos admin audit-verify":       {"admin", "audit-verify"},
		"grafos operator debug":           {"operator", "debug", "/dev/null"},
		"grafos operator raft list":       {"operator", "raft", "list"},
		"grafos operator raft transfer":   {"operator", "raft", "transfer", "s2"},
		"grafos operator raft remove":     {"operator", "raft", "remove", "s3", "--yes"},
		"grafos version":                  {"version"},
		"grafos completion":               {"completion", "bash"},
	}
}

// leaves calls do with every command that does something.
func leaves(cmd *cobra.Command, do func(*cobra.Command)) {
	if cmd.Name() == "help" {
		return
	}
	if !cmd.HasSubCommands() {
		do(cmd)
	}
	for _, c := range cmd.Commands() {
		leaves(c, do)
	}
}

// TestEveryCommand walks the tree: a command that has no case here, no --json or no text
// for its help fails. It runs each as a table, as TSV and as JSON and compares with
// testdata; -update writes it anew.
func TestEveryCommand(t *testing.T) {
	cases := goldenCases()
	seen := map[string]bool{}
	leaves(newRig(t).root(io.Discard, io.Discard), func(cmd *cobra.Command) {
		path := cmd.CommandPath()
		seen[path] = true
		args, ok := cases[path]
		if !ok {
			t.Errorf("%s has no case in goldenCases", path)
			return
		}
		if cmd.Short == "" || strings.HasSuffix(cmd.Short, ".") {
			t.Errorf("%s needs a Short without a full stop", path)
		}
		t.Run(path, func(t *testing.T) { golden(t, path, args) })
	})
	for path := range cases {
		if !seen[path] {
			t.Errorf("%s is no command", path)
		}
	}
}

// TestWhatAsks: what cannot be taken back asks, as docs/operations.md has it, and nothing else does.
func TestWhatAsks(t *testing.T) {
	asks := map[string]bool{
		"grafos lease revoke": true, "grafos fabric drain": true, "grafos provider revoke-cell": true, "grafos admin delete-tenant": true,
		"grafos admin unfence-lease": true, "grafos operator raft remove": true,
	}
	leaves(newRig(t).root(io.Discard, io.Discard), func(cmd *cobra.Command) {
		if cmd.Flags().Lookup("yes") == nil {
			return // it changes nothing
		}
		path := cmd.CommandPath()
		without := slices.DeleteFunc(slices.Clone(goldenCases()[path]), func(arg string) bool { return arg == "--yes" })
		got := goldenRun(t, without, "", nil)
		if refused := got.code == 2 && strings.Contains(got.err, "there is nobody to ask"); refused != asks[path] {
			t.Errorf("%s asks: %v, want %v: exit %d, %s", path, refused, asks[path], got.code, got.err)
		}
		if asked := goldenRun(t, without, "", []string{"--dry-run"}); strings.Contains(asked.err, "nobody to ask") {
			t.Errorf("%s asks before it changes nothing", path)
		}
		delete(asks, path)
	})
	for path := range asks {
		t.Errorf("%s is no command that could ask", path)
	}
}

// TestEmptyArguments: an argument with nothing in it is what a variable leaves that was not set. No
// command takes it for the beginning of every id.
func TestEmptyArguments(t *testing.T) {
	for path, args := range goldenCases() {
		for i := len(strings.Fields(path)) - 1; i < len(args) && !strings.HasPrefix(args[i], "-"); i++ {
			for _, nothing := range []string{"", " "} {
				empty := slices.Clone(args)
				empty[i] = nothing
				newRig(t).run(empty...).want(t, 2, "", "is empty  (invalid_argument)")
			}
		}
	}
}

func golden(t *testing.T, path string, args []string) {
	t.Helper()
	table := goldenRun(t, args, "120", nil)
	tsv := goldenRun(t, args, "", nil)
	machine := goldenRun(t, args, "", []string{"--json"})
	for name, got := range map[string]result{"table": table, "tsv": tsv, "json": machine} {
		if got.code != 0 {
			t.Errorf("%s: exit %d: %s", name, got.code, got.err)
		}
	}
	if machine.err != "" {
		t.Errorf("with --json stderr has %q", machine.err)
	}
	for line := range strings.Lines(machine.out) {
		if !json.Valid([]byte(line)) || !strings.HasPrefix(line, "{") {
			t.Errorf("with --json stdout has a line that is no document: %.200s", line)
		}
	}
	if path == "grafos completion" || path == "grafos version" {
		return // their text is the shell's and the toolchain's
	}
	var text bytes.Buffer
	for _, part := range []struct{ name, text string }{
		{"table", table.out}, {"stderr", table.err}, {"tsv", tsv.out}, {"json", machine.out},
	} {
		text.WriteString("-- " + part.name + " --\n" + part.text)
		if part.text != "" && !strings.HasSuffix(part.text, "\n") {
			text.WriteString("<no newline>\n")
		}
	}
	compareGolden(t, strings.ReplaceAll(strings.TrimPrefix(path, "grafos "), " ", "-"), text.Bytes())
}

func goldenRun(t *testing.T, args []string, columns string, extra []string) result {
	t.Helper()
	r := newRig(t)
	r.http = r.cellServer(append([]byte("hello"), make([]byte, 64<<10-5)...))
	r.stdin = strings.NewReader("DATA")
	r.env["GRAFOS_FORCE_TTY"] = columns
	return r.run(append(append([]string{}, args...), extra...)...)
}

func compareGolden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name+".golden")
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s differs (-update writes it anew)\ngot:\n%s\nwant:\n%s", path, got, want)
	}
}
