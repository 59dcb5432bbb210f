package main

import "unsafe"

// leaseLeft is how many milliseconds the run's leases have left.
//
//go:wasmimport grafos_v0 lease_left
func leaseLeft() int64

// notice is in how many milliseconds the run is forced down; -1 while its end is not announced.
//
//go:wasmimport grafos_v0 notice
func notice() int64

//go:wasmimport grafos_v0 checkpoint
func handOver(p unsafe.Pointer, n uint32) int32

// checkpoint hands state over and lets the run be ended.
func checkpoint(state []byte) int32 { return handOver(unsafe.Pointer(&state[0]), uint32(len(state))) }
