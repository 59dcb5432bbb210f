//go:build !race

package tasklet

// workerExe is empty: the test binary is its own worker, as the agent's is.
func workerExe() string { return "" }
