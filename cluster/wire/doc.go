// Package wire is how a scheduler reaches the others' Raft: mutual TLS between schedulers and
// nobody else, raft's own network transport over it, and the silent connections by which a
// follower sees at once that its leader's process is gone.
package wire
