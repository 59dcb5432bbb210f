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
		{"api"}, // standard library only, nothing of ours
		{
			"api/clock",  // the one place that reads the time
			"api/mutant", // deliberate faults, in no release
		},
		{"capbroker/pki"}, // the client verifies schedulers with it
		{"cluster/store/disk"},
		{"cluster/store/snap"},
		{
			"cellagent/work", // what a cell asks of its tasklets
		},
		{
			"fsm", "placement", "capbroker", "api/client", "api/console",
			"cellagent/binding", "cellagent/tasklet", "cluster/rumor",
		},
		{
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
		},
		{"integration/internal/fleet"}, // a real cluster on such a network
		{"integration", "integration/chaos", "integration/demo", "integration/bench", "integration/sim", "integration/sim/replay", "integration/mutants"},
	}
}

// sees narrows the floors: such a package imports these of ours and no others.
func sees() map[string][]string {
	return map[string][]string{
		// A cell does; it neither remembers (fsm) nor decides (placement). Commands are a client like any other.
		"cellagent":                    {"api", "api/client", "api/clock", "api/mutant", "capbroker", "capbroker/pki", "cellagent/binding", "cellagent/tasklet", "cellagent/work"},
		"cmd/grafos/cli":               {"api", "api/client", "cmd/grafos/internal/ui"},
		"integration/internal/harness": {"api", "api/client", "capbroker/pki"},
		"integration/demo":             {"api", "api/client", "integration/internal/harness"},
		"integration/bench":            {"api", "api/client", "integration/internal/harness"},
		"integration/sim":              {"api", "capbroker", "cellagent", "cellagent/work", "cluster", "cluster/control", "cluster/leader", "cluster/rumor", "fsm"},
		"integration/sim/replay":       {},
		"integration/mutants":          {"api/mutant"},
		"integration/internal/promises": {"api", "api/client"},
		"integration/internal/history":  {"api"},
		"integration/internal/netlab":   {"integration/internal/claim"},
		"integration/internal/disklab":  {"integration/internal/claim"},
		"integration/internal/fleet":    {"api", "api/client", "capbroker/pki", "integration/internal/netlab", "integration/internal/disklab"},
	}
}

// only names the packages that may see a library.
func only() map[string][]string {
	return map[string][]string{
		"github.com/hashicorp/raft":           {"cluster", "cluster/store", "cluster/store/snap", "cluster/wire", "fsm", "integration/sim"},
		"github.com/hashicorp/raft-boltdb/v2": {"cluster/store"},
		"github.com/hashicorp/raft-wal":       {"cluster/store"},
		"go.etcd.io/bbolt":                    {"cluster/store"},
		"github.com/hashicorp/memberlist":     {"cluster/gossip"},
