package fsm

import (
	"time"

	"github.com/grafos/grafos/api"
)

// leaseRecord is a lease in its compact form. Its state is the byte behind the layout, so
// that a walk over many can pass over those that it does not want.
type leaseRecord string

// leaseStates, leaseKinds, leaseUses and priorities number what a record holds as a byte.
// They are only ever appended to; 0 is the empty text.

func codeOfState(s api.LeaseState) byte {
	switch s {
	case api.LeaseActive:
		return 1
	case api.LeaseRevokeWarning:
		return 2
	case api.LeaseGraceRunning:
		return 3
	case api.LeaseCheckpoint:
		return 4
	case api.LeaseForcedTeardown:
		return 5
	case api.LeaseExpired:
		return 6
	case api.LeaseTornDown:
		return 7
	case api.LeaseFenced:
		return 8
	case api.LeaseFailedClosed:
		return 9
	}
	return 0
}

func stateOfCode(c byte) api.LeaseState {
	switch c {
	case 1:
		return api.LeaseActive
	case 2:
		return api.LeaseRevokeWarning
	case 3:
		return api.LeaseGraceRunning
	case 4:
		return api.LeaseCheckpoint
	case 5:
		return api.LeaseForcedTeardown
	case 6:
		return api.LeaseExpired
	case 7:
		return api.LeaseTornDown
	case 8, codeUnfenced:
		return api.LeaseFenced
	case 9:
		return api.LeaseFailedClosed
	}
	return ""
}

func codeOfKind(k api.LeaseKind) byte {
	switch k {
	case api.KindCPU:
		return 1
	case api.KindMem:
		return 2
	case api.KindBlock:
		return 3
	case api.KindNet:
		return 4
	case api.KindGPU:
		return 5
	}
	return 0
}

func kindOfCode(c byte) api.LeaseKind {
	switch c {
	case 1:
		return api.KindCPU
	case 2:
		return api.KindMem
	case 3:
		return api.KindBlock
	case 4:
		return api.KindNet
	case 5:
		return api.KindGPU
	}
	return ""
}

// codeOfUse packs a use and a priority into one byte.
func codeOfUse(u api.Use, p api.Priority) byte {
	var c byte
	switch u {
	case api.UseLinear:
		c = 1
	case api.UseRegion:
		c = 2
	}
	switch p {
	case api.PriorityGuaranteed:
		c |= 1 << 4
	case api.PriorityStandard:
		c |= 2 << 4
	case api.PriorityScavenger:
		c |= 3 << 4
	}
	return c
}

func useOfCode(c byte) (api.Use, api.Priority) {
	use := [...]api.Use{"", api.UseLinear, api.UseRegion, ""}
	priority := [...]api.Priority{"", api.PriorityGuaranteed, api.PriorityStandard, api.PriorityScavenger}
	return use[c&3], priority[c>>4&3]
}

// codeUnfenced is the state byte of a lease that ended fenced and whose fence was cleared.
const codeUnfenced = 10

// appendLease writes the compact form of a lease. Most leases have nothing that layoutTwo has and
// layoutOne has not, and keep the bytes that they always had.
func appendLease(b []byte, l *api.Lease) []byte {
	state := codeOfState(l.State)
	if l.Unfenced != 0 {
		state = codeUnfenced
	}
	if l.Unfenced == 0 && l.Holder == "" && l.Terms.Empty() {
		return appendLeaseOne(b, l, layoutOne, state)
	}
	b = appendLeaseOne(b, l, layoutTwo, state)
	b = appendInt(b, int64(l.Unfenced))
	b = appendTime(b, l.UnfencedAt)
	return appendTerms(appendText(b, l.Holder), l.Terms)
}

func appendLeaseOne(b []byte, l *api.Lease, layout, state byte) []byte {
	b = append(b, layout, state, codeOfKind(l.Kind), codeOfUse(l.Use, l.Priority))
	b = appendText(b, l.ID)
	b = appendUint(b, l.Epoch)
	b = appendUint(b, l.Generation)
	b = appendUint(b, l.BoundGeneration)
	b = appendUint(b, l.Modified)
	b = appendInt(b, l.Amount)
	b = appendInt(b, l.TTLMs)
	b = appendInt(b, int64(l.Granted))
	b = appendInt(b, int64(l.Expires-l.Granted))
	b = appendInt(b, int64(l.Ended))
	b = appendInt(b, int64(l.ForceAt))
	b = appendTime(b, l.GrantedAt)
	b = appendTime(b, l.ExpiresAt)
	b = appendTime(b, l.BoundAt)
	b = appendTime(b, l.EndedAt)
	b = appendText(b, l.Tenant)
	b = appendText(b, l.Provider)
	b = appendText(b, l.CellID)
	b = appendText(b, l.RunID)
	b = appendText(b, l.Reason)
	b = appendText(b, l.Stamp.BootID)
	b = appendInt(b, l.Stamp.BootTime)
	return appendText(b, l.Coordinate)
}

// occupies is api.Lease.Occupies, without reading the rest of a record.
func (r leaseRecord) occupies() bool {
	s := stateOfCode(r[1])
	return !s.Terminal() || s == api.LeaseFenced && r[1] != codeUnfenced
}

// id returns the id of a record without reading the rest.
func (r leaseRecord) id() api.LeaseID {
	rd := recordReader{s: string(r), at: 4}
	return api.LeaseID(rd.text())
}

// glance reads what stands at the beginning of a record.
func (r leaseRecord) glance() LeaseGlance {
	rd := recordReader{s: string(r), at: 4}
	rd.text() // its id
	rd.uint() // and its epoch
	state := stateOfCode(r[1])
	return LeaseGlance{
		State: state, Fenced: state == api.LeaseFenced && r[1] != codeUnfenced,
		Generation: rd.uint(), Bound: rd.uint(), modified: rd.uint(),
	}
}

// lease reads a record that appendLease wrote.
func (r leaseRecord) lease() api.Lease {
	l, _ := r.read()
	return l
}

// read reads a record; false when it is none.
func (r leaseRecord) read() (l api.Lease, ok bool) {
	ok = r.readTo(&l)
	return l, ok
}

// readTo is read into l, all of which it writes.
func (r leaseRecord) readTo(l *api.Lease) bool {
	rd := recordReader{s: string(r)}
	layout := rd.byte()
	state := rd.byte()
	l.State = stateOfCode(state)
	l.Kind = kindOfCode(rd.byte())
	use := rd.byte()
	l.Use, l.Priority = useOfCode(use)
	l.ID = api.LeaseID(rd.text())
	l.Epoch = rd.uint()
	l.Generation = rd.uint()
	l.BoundGeneration = rd.uint()
	l.Modified = rd.uint()
	l.Amount = rd.int()
	l.TTLMs = rd.int()
	l.Granted = api.Tick(rd.int())
	l.Expires = l.Granted + api.Tick(rd.int())
	l.Ended = api.Tick(rd.int())
	l.ForceAt = api.Tick(rd.int())
	l.GrantedAt = rd.time()
	l.ExpiresAt = rd.time()
	l.BoundAt = rd.time()
	l.EndedAt = rd.time()
	l.Tenant = api.TenantID(rd.text())
	l.Provider = api.ProviderID(rd.text())
	l.CellID = api.CellID(rd.text())
	l.RunID = api.RunID(rd.text())
	l.Reason = rd.text()
	l.Stamp.BootID = rd.text()
	l.Stamp.BootTime = rd.int()
	l.Coordinate = rd.text()
	l.Unfenced, l.UnfencedAt, l.Holder, l.Terms = 0, time.Time{}, "", nil
	if layout == layoutTwo {
		l.Unfenced, l.UnfencedAt, l.Holder, l.Terms = api.Tick(rd.int()), rd.time(), rd.text(), rd.terms()
	}
	lifted := l.Unfenced != 0
	known := layout == layoutOne || layout == layoutTwo && (lifted || l.Holder != "" || l.Terms != nil)
	return rd.ok() && known && lifted == (state == codeUnfenced) && l.Unfenced >= 0 && use&0xcc == 0 && use&3 != 3
}
