// Package api is the vocabulary of grafOS: the nouns, their states, the typed
// refusals, the resource arithmetic and the small service interfaces that every
// other package speaks.
//
// The JSON names of these structs are the names on the wire, in the replicated log
// and in a snapshot. They are for ever: a field is added, never renamed or reused.
// The package imports the standard library only, and has no behaviour beyond
// validation, printing, state transitions and resource arithmetic.
//
// Units: cpu is millicores, mem and block are bytes, net is bits per second, gpu is
// devices. Durations named _ms are milliseconds. A Tick is nanoseconds of cluster
// time, which only the replicated state advances; every time.Time is for display.
package api
