// Package fsm is what grafOS remembers: the replicated state machine.
package fsm
