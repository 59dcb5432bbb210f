// Package cli is the client commands of grafos: what anyone with a certificate or a token
// can do to a cluster from a shell. It speaks api.Services and nothing below it, so that
// every command answers with the document that the API answers with.
//
// One command is one file: its options bound to flags, a constructor that wires, a
// function that does. What an answer looks like to a person is in the view_*.go files.
// Root makes the tree, Group finds a place in it for the commands of a node, and Execute
// runs it and turns what went wrong into words and an exit code.
package cli
