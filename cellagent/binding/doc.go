// Package binding holds the real things behind the leases of one cell: memory regions, block
// files, and plain reservations of CPU, network, GPUs and tasklets' linear memory.
//
// Two rules make it worth a package. A Host never binds more than it has, whatever it is asked
// (L1, L4): it counts, and what a fence holds stays counted. And a teardown either has
// happened or is an error (L6): Close of a Binding waits, within a bound, until the last
// operation has left, then gives the resource back; when one of the two fails, nobody ever
// gets it again until an operator says so.
//
// Lock order: Host.mu is never held while a resource is opened, used or destroyed.
package binding
