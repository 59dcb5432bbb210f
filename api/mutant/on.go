//go:build mutants

package mutant

import "os"

// On reports whether f is the fault that GRAFOS_MUTANT names.
func On(f Fault) bool { return os.Getenv("GRAFOS_MUTANT") == string(f) }
