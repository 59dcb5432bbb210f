package gossip

import (
	"errors"
	"strings"
	"sync"
	"time"

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
	mu   sync.Mutex
	n    map[Drop]uint64    // guarded by mu
	said map[Drop]time.Time // guarded by mu: when each was written last
}

// Count returns how often something was dropped for a reason.
func (d *Drops) Count(why Drop) uint64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.n[why]
}

// dropSaid is how often a reason is written: whoever floods this port shall not flood the log.
const dropSaid = 30 * time.Second

// add counts one more, and reports whether it is worth a line: the first of a reason, and one
// every dropSaid.
func (d *Drops) add(why Drop) (n uint64, loud bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.n == nil {
		d.n, d.said = map[Drop]uint64{}, map[Drop]time.Time{}
	}
	d.n[why]++
	now := time.Now()
	if loud = why != DropOld && (d.n[why] == 1 || now.Sub(d.said[why]) >= dropSaid); loud {
		d.said[why] = now
	}
	return d.n[why], loud
}

// cause is a drop in words; "" is that the line says enough.
func (w Drop) cause() string {
	switch w { //nolint:exhaustive // the others are no strangers
	case DropCluster:
		return "it is of another cluster, or of none"
	case DropKey:
		return "it has another gossip key"
	case DropMember:
		return "it is no scheduler of a release that this one knows"
	case DropFull:
		return "as many schedulers as are remembered live already"
	}
	return ""
}
