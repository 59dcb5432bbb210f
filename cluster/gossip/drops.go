package gossip

import (
	"errors"
	"strings"
	"sync"

	"github.com/grafos/grafos/cluster/rumor"
)

// Drop is why a packet, or what a peer said of itself, was not taken.
type Drop string

// Why something is dropped.
const (
	DropCluster   Drop = "cluster"   // it carries the name of another cluster, or none
	DropKey       Drop = "key"       // it was not sealed with this cluster's key
	DropMalformed Drop = "malformed" // it cannot be read
	DropMember    Drop = "member"    // it speaks of a member that is no scheduler
	DropOld       Drop = "old"       // it was overtaken, or is heard again
	DropFull      Drop = "full"      // as many schedulers as are remembered live already
)

// dropped are words of memberlist's log, which has no other way to say what it dropped. They
// are those of the pinned version: TestDropsAreCounted fails when another one says them otherwise.
var dropped = []struct { //nolint:gochecknoglobals // a table
	words string
	drop  Drop
}{
	{"unacceptable label", DropCluster},
	{"label", DropCluster},
	{"could decrypt", DropKey},
	{"Decrypt packet failed", DropKey},
	{"is not encrypted", DropKey},
	{"cannot decrypt", DropKey},
	{"unsupported encryption", DropKey},
	{"too small to decrypt", DropKey},
	{"invalid checksum", DropMalformed},
	{"missing message type", DropMalformed},
	{"not supported", DropMalformed},
	{"invalid msgType", DropMalformed},
	{"Failed to decode", DropMalformed},
	{"Failed to decompress", DropMalformed},
	{"truncated messages", DropMalformed},
	{"Blocked alive message", DropMember},
	{"ignoring alive message", DropMember},
	{"Ignoring an alive message", DropMember},
}

// dropOf finds what a line of memberlist's log says was dropped.
func dropOf(line string) (Drop, bool) {
	for _, d := range dropped {
		if strings.Contains(line, d.words) {
			return d.drop, true
		}
	}
	return "", false
}

// dropOfDigest is why a digest was not taken.
func dropOfDigest(err error) Drop {
	switch {
	case errors.Is(err, rumor.ErrOld):
		return DropOld
	case errors.Is(err, rumor.ErrFull):
		return DropFull
	}
	return DropMalformed
}

// Drops counts what was dropped, by reason. The zero value is ready.
type Drops struct {
	mu sync.Mutex
	n  map[Drop]uint64 // guarded by mu
}

// Count returns how often something was dropped for a reason.
func (d *Drops) Count(why Drop) uint64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.n[why]
}

// add counts one more, and reports whether it is worth a line: the first, the tenth, the
// hundredth. Whoever floods this port shall not flood the log.
func (d *Drops) add(why Drop) (n uint64, loud bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.n == nil {
		d.n = map[Drop]uint64{}
	}
	d.n[why]++
	n = d.n[why]
	for power := uint64(1); power <= n; power *= 10 {
		if power == n {
			return n, why != DropOld
		}
	}
	return n, false
}
