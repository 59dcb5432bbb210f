package binding

import (
	"context"
	"errors"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/cellagent/work"
)

// Faults are deliberate failures, for tests of what happens then: a real agent has none. The zero
// value and nil are none.
type Faults struct {
	mu   sync.Mutex
	left map[fault]int // how often it still happens; negative is always. Guarded by mu
	open []net.Conn    // that were not closed. Guarded by mu
}

// fault is what goes wrong with resources of one kind.
type fault struct {
	what string
	kind api.LeaseKind
}

// What can go wrong.
const (
	faultTeardown = "teardown-fails" // the resource does not go away
	faultHang     = "teardown-hangs" // it takes longer than it may
	faultBind     = "bind-fails"     // the resource cannot be opened
	faultBindHang = "bind-hangs"     // it is opened too late
)

// known lists the faults.
func known() []string {
	return []string{
		faultTeardown, faultHang, faultBind, faultBindHang, work.FaultServesEnded, work.FaultOldTokens, work.FaultAnyToken, work.FaultNoProof,
		work.FaultKnownKey, work.FaultOtherGPU, work.FaultOneGPU, work.FaultAnywhere, work.FaultKeepsFlows,
	}
}

// lateBind is by how much a binding is late that hangs: longer than schedulers wait for it.
const lateBind = api.BindBound + 2*time.Second

// errInjected is the failure that a test asked for.
var errInjected = errors.New("a fault was injected for a test")

// ParseFaults reads faults: WHAT:KIND or WHAT:KIND:TIMES, with commas between them. KIND is a lease kind.
func ParseFaults(s string) (*Faults, error) {
	f := &Faults{left: map[fault]int{}}
	for one := range strings.SplitSeq(s, ",") {
		part := strings.Split(strings.TrimSpace(one), ":")
		if len(part) != 2 && len(part) != 3 {
			return nil, api.Refuse(api.InvalidArgument, "fault %.40q is not WHAT:KIND or WHAT:KIND:TIMES", one)
		}
		k := fault{part[0], api.LeaseKind(part[1])}
		if !slices.Contains(known(), k.what) {
			return nil, api.Refuse(api.InvalidArgument, "fault %.40q is unknown: it is one of %s", one, strings.Join(known(), ", "))
		}
		if !slices.Contains(api.LeaseKinds(), k.kind) {
			return nil, api.Refuse(api.InvalidArgument, "fault %.40q is of no lease kind", one)
		}
		times := -1
		if len(part) == 3 {
			n, err := strconv.Atoi(part[2])
			if err != nil || n < 1 {
				return nil, api.Refuse(api.InvalidArgument, "fault %.40q happens %.40q times: it must be 1 or more", one, part[2])
			}
			times = n
		}
		f.left[k] = times
	}
	return f, nil
}

// Corrupts reports whether some are of the agent itself, and not of a binding.
func (f *Faults) Corrupts() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	for k := range f.left {
		switch k.what {
		case work.FaultServesEnded, work.FaultOldTokens, work.FaultAnyToken, work.FaultNoProof, work.FaultOtherGPU, work.FaultOneGPU:
			return true
		}
	}
	return false
}

// Names reports whether a fault was asked for, of whatever kind.
func (f *Faults) Names(what string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	for k := range f.left {
		if k.what == what {
			return true
		}
	}
	return false
}

// Happens reports whether a fault of the agent itself happens now.
func (f *Faults) Happens(what string, k api.LeaseKind) bool { return f.takes(what, k) }

// delaysBind reports that resources of the kind may be opened late, so that it is no prompt one.
func (f *Faults) delaysBind(k api.LeaseKind) bool {
	if f == nil {
		return false
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.left[fault{faultBindHang, k}] != 0
}

// takes reports whether a fault happens now.
func (f *Faults) takes(what string, k api.LeaseKind) bool {
	if f == nil {
		return false
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	n := f.left[fault{what, k}]
	if n > 0 {
		f.left[fault{what, k}] = n - 1
	}
	return n != 0
}

// waits reports that a teardown of the kind has a fault before it, so that it is no prompt one.
func (f *Faults) waits(k api.LeaseKind) bool {
	if f == nil {
		return false
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.left[fault{faultTeardown, k}] != 0 || f.left[fault{faultHang, k}] != 0
}

// teardown fails, or hangs until ctx ends, where that was asked for.
func (f *Faults) teardown(ctx context.Context, k api.LeaseKind) error {
	if f.takes(faultHang, k) {
		<-ctx.Done()
		return errInjected
	}
	if f.takes(faultTeardown, k) {
		return errInjected
	}
	return nil
}

// bind fails, or is late, where that was asked for.
func (f *Faults) bind(k api.LeaseKind) error {
	if f.takes(faultBindHang, k) {
		<-time.After(lateBind)
	}
	if f.takes(faultBind, k) {
		return errInjected
	}
	return nil
}
