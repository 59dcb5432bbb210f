// Package node is the commands that run a node or touch its keys and files: server,
// cell-agent, dev, init-ca, issue-cert, bootstrap-token, bootstrap-cell. It wires the
// floors below together and decides nothing itself.
//
// Settings come from defaults, then a TOML file, then GRAFOS_* in the environment, then
// flags; secrets come from files, never from arguments.
package node
