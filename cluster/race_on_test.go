//go:build race

package cluster

// underRace is that the race detector looks on.
const underRace = true
