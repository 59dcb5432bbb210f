// Package herd is many simulated cells in one process. Each of them has its own certificate, its
// own connections and its own sessions, as an agent has: one that it acts on and a warm standby at
// another scheduler. It sends heartbeats, confirms the leases that it is given, and says that those
// that end are torn down. What it has not is anything behind them: no memory, no disk, no data plane.
package herd
