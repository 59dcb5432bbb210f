package integration

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/grafos/grafos"

// floors is the dependency policy: a package imports only packages on lines above its own,
// never a neighbour. A new package is added here first; no line moves to make a build pass.
func floors() [][]string {
	return [][]string{
		{"api"},                         // standard library only, nothing of ours
		{"capbroker/attest/attesttest"}, // documents as clouds make them, for tests; it sees nothing of ours
		{
			"api/clock",  // the one place that reads the time
			"api/mutant", // deliberate faults, in no release
			"api/quick",  // the JSON of what every admission passes through
		},
		{
			"capbroker/jwks",   // the keys of other issuers
			"capbroker/pki",    // the client verifies schedulers with it
			"capbroker/holder", // what a holder of tokens does with a key
			"fsm/internal/cow", // the trees of the state
		},
		{"cluster/store/disk", "capbroker/issuer", "capbroker/attest"},
		{"cluster/store/snap"},
		{
			"cellagent/work",   // what a cell asks of its tasklets
			"cellagent/ledger", // what a cell has accepted, on its disk
		},
		{"cellagent/egress"}, // the network of a net lease
		{
			"fsm", "placement", "capbroker", "api/client", "api/console",
			"cellagent/binding", "cellagent/tasklet", "cluster/rumor", "cluster/relay",
		},
		{"cluster/peer"},        // between raft and the network
		{"cluster/conformance"}, // attacks a cell as its tenants could
		{"cluster/pilot"},       // who belongs to the Raft group: decided on the leader, under the node
		{
			"fsm/fsmcheck", // follows the changes of a state, for tests
			"cluster", "cluster/leader", "cluster/control", "cluster/blob", "cluster/store", "cluster/gossip", "cluster/wire",
			"cellagent", "api/server",
		},
		{"cmd/grafos/internal/ui"},
		{"cmd/grafos/cli", "cmd/grafos/node"},
		{"cmd/grafos"},                 // the door of floor 3: main ties cli and node
		{"integration/internal/claim"}, // what a test makes on its host, and may remove
		{ // what tests of real clusters stand on: processes, networks, disks, and the checkers
			"integration/internal/harness", "integration/internal/netlab", "integration/internal/disklab",
			"integration/internal/history", "integration/internal/promises",
			"integration/internal/herd", // simulated cells in their hundreds
		},
		{"integration/internal/fleet"}, // a real cluster on such a network
		// What the benchmarks measure with: a load, processes that make one, a scheduler without its API.
		{"integration/bench/internal/load", "integration/bench/internal/proc"},
		{"integration/bench/internal/child"},
		{"integration/bench/internal/member"},
		{
			"integration", "integration/chaos", "integration/demo", "integration/bench", "integration/bench/state", "integration/bench/cells",
			"integration/sim", "integration/sim/replay", "integration/mutants",
		},
	}
}

// sees narrows the floors: such a package imports these of ours and no others.
func sees() map[string][]string {
	return map[string][]string{
		// A cell does; it neither remembers (fsm) nor decides (placement). Commands are a client like any other.
		"cellagent":                     {"api", "api/client", "api/clock", "api/mutant", "capbroker", "capbroker/holder", "capbroker/pki", "cellagent/binding", "cellagent/ledger", "cellagent/tasklet", "cellagent/work"},
		"cmd/grafos/cli":                {"api", "api/client", "capbroker/holder", "cmd/grafos/internal/ui"},
		"integration/internal/harness":  {"api", "api/client", "capbroker/pki"},
		"integration/internal/promises": {"api", "api/client"},
		"integration/internal/history":  {"api"},
		"integration/internal/netlab":   {"integration/internal/claim"},
		"integration/internal/disklab":  {"integration/internal/claim"},
		"integration/internal/fleet":    {"api", "api/client", "capbroker/pki", "integration/internal/netlab", "integration/internal/disklab"},
		"integration/demo":              {"api", "api/client", "integration/internal/harness"},
		"integration/bench": {
			"api", "api/client", "capbroker/pki", "integration/internal/harness",
			"integration/bench/internal/load", "integration/bench/internal/child", "integration/bench/internal/member", "integration/bench/internal/proc",
		},
		"integration/internal/herd": {"api", "api/client", "capbroker/pki"},
		"integration/bench/cells": {
			"api", "api/client", "capbroker/pki", "integration/internal/harness", "integration/internal/herd",
			"integration/bench/internal/load", "integration/bench/internal/child", "integration/bench/internal/proc",
		},
		"integration/sim":        {"api", "api/clock", "capbroker", "cellagent", "cellagent/ledger", "cellagent/work", "cluster", "cluster/control", "cluster/leader", "cluster/peer", "cluster/rumor", "fsm", "fsm/fsmcheck"},
		"integration/sim/replay": {},
		"integration/mutants":    {"api/mutant"},
	}
}

// only names the packages that may see a library.
func only() map[string][]string {
	return map[string][]string{
		"github.com/hashicorp/raft":           {"cluster", "cluster/peer", "cluster/pilot", "cluster/store", "cluster/store/snap", "cluster/wire", "fsm", "integration/bench/state", "integration/bench/internal/member", "integration/sim"},
		"github.com/smallstep/pkcs7":          {"capbroker/attest"},
		"github.com/hashicorp/raft-autopilot": {"cluster/pilot"},
		"github.com/hashicorp/raft-boltdb/v2": {"cluster/store"},
		"github.com/hashicorp/raft-wal":       {"cluster/store"},
		"go.etcd.io/bbolt":                    {"cluster/store"},
		"github.com/hashicorp/memberlist":     {"cluster/gossip"},
		"github.com/anishathalye/porcupine":   {"integration/internal/history"},
		"github.com/tetratelabs/wazero":       {"cellagent/tasklet", "integration/sim/replay"},
	}
}

func TestFloors(t *testing.T) {
	level := map[string]int{}
	for i, line := range floors() {
		for _, p := range line {
			level[p] = i
		}
	}
	walk(t, func(pkg, file string, imports []string, _ string) {
		mine, ok := level[pkg]
		if !ok {
			t.Errorf("%s: package %s stands on no floor: add it to floors()", file, pkg)
			return
		}
		for _, imp := range imports {
			checkLibrary(t, pkg, file, imp)
			rest, ours := strings.CutPrefix(imp, module+"/")
			if !ours {
				continue
			}
			if theirs, known := level[rest]; !known || theirs >= mine {
				t.Errorf("%s: %s imports %s, which is not on a lower floor", file, pkg, rest)
			}
			if allowed, narrow := sees()[pkg]; narrow && !slices.Contains(allowed, rest) {
				t.Errorf("%s: %s may not see %s", file, pkg, rest)
			}
		}
	})
}

func checkLibrary(t *testing.T, pkg, file, imp string) {
	t.Helper()
	for lib, allowed := range only() {
		if (imp == lib || strings.HasPrefix(imp, lib+"/")) && !slices.Contains(allowed, pkg) {
			t.Errorf("%s: %s may not see %s", file, pkg, lib)
		}
	}
}

// TestOneClock: the control plane reads the time in one place, so that a simulation can give
// it another one.
func TestOneClock(t *testing.T) {
	for _, dir := range []string{"fsm", "placement", "cluster", "cluster/leader", "cluster/control", "cluster/peer", "cluster/pilot", "cluster/rumor", "cellagent", "capbroker"} {
		files, err := filepath.Glob(filepath.Join("..", dir, "*.go"))
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: %v, %v", dir, files, err)
		}
		for _, file := range files {
			if strings.HasSuffix(file, "_test.go") {
				continue
			}
			f, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
			if err != nil {
				t.Fatal(err)
			}
			ast.Inspect(f, func(n ast.Node) bool {
				sel, ok := n.(*ast.SelectorExpr)
				if !ok {
					return true
				}
				if pkg, ok := sel.X.(*ast.Ident); ok && pkg.Name == "time" && slices.Contains([]string{"Now", "Since", "Until"}, sel.Sel.Name) {
					t.Errorf("%s: time.%s: read the clock that was given (api/clock)", file, sel.Sel.Name)
				}
				return true
			})
		}
	}
}

// TestDocs demands a package comment everywhere.
func TestDocs(t *testing.T) {
	documented := map[string]bool{}
	walk(t, func(pkg, _ string, _ []string, doc string) {
		documented[pkg] = documented[pkg] || doc != ""
	})
	for pkg, ok := range documented {
		if !ok {
			t.Errorf("package %s has no package comment", pkg)
		}
	}
}

// walk calls visit for every Go file of the module that is not a test.
func walk(t *testing.T, visit func(pkg, file string, imports []string, doc string)) {
	t.Helper()
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	err = filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if skip(root, name, d.Name()) {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			return nil
		}
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ImportsOnly|parser.ParseComments)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, name)
		if err != nil {
			return err
		}
		var imports []string
		for _, spec := range f.Imports {
			imp, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return err
			}
			imports = append(imports, imp)
		}
		visit(path.Dir(filepath.ToSlash(rel)), rel, imports, f.Doc.Text())
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// skip leaves out what is not a package of this module.
func skip(root, name, base string) bool {
	if name == root {
		return false
	}
	if base == "testdata" || base == "node_modules" || strings.HasPrefix(base, ".") {
		return true
	}
	_, err := os.Stat(filepath.Join(name, "go.mod"))
	return err == nil
}
