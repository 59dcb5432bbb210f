package api

import (
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// GPUUse is what leases take of one device of a cell.
type GPUUse struct {
	// Class is that of all its leases; Tenant is whose they are, where the class has one tenant.
	Class  GPUClass
	Tenant TenantID
	// Milli is the sum of their shares, in thousandths.
	Milli int64
	// Leases counts them, Fenced those that are fenced.
	Leases, Fenced int
}

// Share returns what a lease takes of each of its devices, in thousandths.
func (g *GPUTerms) Share() int64 {
	if g.ShareMilli == 0 || g.Class == GPUDeviceExclusive {
		return WholeGPU
	}
	return g.ShareMilli
}

// Admits reports whether a device has room for one more lease of a tenant:
//
//	shared              beside shared ones of whatever tenant, together at most the whole device
//	session_exclusive   beside session_exclusive ones of the same tenant, together at most the whole device
//	device_exclusive    where there is no other
func (u GPUUse) Admits(t TenantID, g *GPUTerms) bool {
	switch {
	case u.Leases == 0:
		return true
	case g.Class != u.Class || g.Class == GPUDeviceExclusive:
		return false
	case g.Class == GPUSessionExclusive && u.Tenant != t:
		return false
	}
	return u.Milli+g.Share() <= WholeGPU
}

// add counts a lease, or with sign -1 takes it away.
func (u GPUUse) add(t TenantID, g *GPUTerms, fenced bool, sign int) GPUUse {
	u.Leases += sign
	if u.Leases <= 0 {
		return GPUUse{}
	}
	u.Class, u.Milli = g.Class, u.Milli+int64(sign)*g.Share()
	if g.Class != GPUShared {
		u.Tenant = t
	}
	if fenced {
		u.Fenced += sign
	}
	return u
}

// GPUUses is the devices of a cell by their ordinals, up to the last one that is leased. It is a value: nobody
// changes it.
type GPUUses []GPUUse

// At returns a device, which may be leased by nobody.
func (d GPUUses) At(ordinal int) GPUUse {
	if ordinal < len(d) {
		return d[ordinal]
	}
	return GPUUse{}
}

// Taken counts the devices that somebody has, and those of which a part is fenced.
func (d GPUUses) Taken() (used, fenced int64) {
	for _, u := range d {
		if u.Leases > 0 {
			used++
		}
		if u.Fenced > 0 {
			fenced++
		}
	}
	return used, fenced
}

// Fresh counts the devices of a lease that nobody has.
func (d GPUUses) Fresh(g *GPUTerms) int64 {
	n := int64(0)
	for _, o := range g.Devices {
		if d.At(o).Leases == 0 {
			n++
		}
	}
	return n
}

// With returns the devices with one more lease, with sign -1 with one less.
func (d GPUUses) With(t TenantID, g *GPUTerms, fenced bool, sign int) GPUUses {
	if len(g.Devices) == 0 {
		return d
	}
	more := make(GPUUses, max(len(d), g.Devices[len(g.Devices)-1]+1))
	copy(more, d)
	for _, o := range g.Devices {
		more[o] = more[o].add(t, g, fenced, sign)
	}
	for len(more) > 0 && more[len(more)-1].Leases == 0 {
		more = more[:len(more)-1]
	}
	return more
}

// Check refuses a lease whose devices are not among so many, or have no room for it.
func (d GPUUses) Check(t TenantID, g *GPUTerms, devices int64) *Error {
	for _, o := range g.Devices {
		if int64(o) >= devices {
			return Refuse(Conflict, "there is no gpu %d: the cell has %d", o, devices)
		}
		if u := d.At(o); !u.Admits(t, g) {
			return Refuse(Conflict, "gpu %d is %s to %d leases, which have %d thousandths of it: no room for %d, %s", o, u.Class, u.Leases, u.Milli, g.Share(), g.Class)
		}
	}
	return nil
}

// Choose picks n of so many devices for a lease, and counts those of them that nobody has yet, of
// which there may be at most free. Where a device is shared the fullest that has room is taken first, so
// that whole ones stay whole; false is that there are not enough.
func (d GPUUses) Choose(t TenantID, g *GPUTerms, n, devices, free int64) (ordinals []int, fresh int64, ok bool) {
	type room struct {
		ordinal int
		milli   int64
	}
	var rooms []room
	for o := range int(min(devices, MaxGPUOrdinals)) {
		if u := d.At(o); u.Admits(t, g) {
			rooms = append(rooms, room{o, u.Milli})
		}
	}
	slices.SortStableFunc(rooms, func(a, b room) int { return int(b.milli - a.milli) })
	for _, r := range rooms {
		if int64(len(ordinals)) == n {
			break
		}
		if r.milli == 0 {
			if fresh == free {
				continue
			}
			fresh++
		}
		ordinals = append(ordinals, r.ordinal)
	}
	slices.Sort(ordinals)
	return ordinals, fresh, int64(len(ordinals)) == n
}

// Query says the terms as a part of a coordinate: gpu=0,1&class=shared&share=250.
func (g *GPUTerms) Query() string {
	b := []byte("gpu=")
	for i, o := range g.Devices {
		if i > 0 {
			b = append(b, ',')
		}
		b = strconv.AppendInt(b, int64(o), 10)
	}
	b = append(append(b, "&class="...), g.Class...)
	if share := g.Share(); share != WholeGPU {
		b = strconv.AppendInt(append(b, "&share="...), share, 10)
	}
	return string(b)
}

// ParseGPUQuery reads what Query wrote.
func ParseGPUQuery(text string) (*GPUTerms, error) {
	bad := Refuse(InvalidArgument, "%q does not say which gpus a lease has", clip(text, 80))
	q, err := url.ParseQuery(text)
	if err != nil {
		return nil, bad
	}
	g := &GPUTerms{Class: GPUClass(q.Get("class"))}
	if share := q.Get("share"); share != "" {
		if g.ShareMilli, err = strconv.ParseInt(share, 10, 64); err != nil {
			return nil, bad
		}
	}
	for word := range strings.SplitSeq(q.Get("gpu"), ",") {
		o, err := strconv.Atoi(word)
		if err != nil {
			return nil, bad
		}
		g.Devices = append(g.Devices, o)
	}
	if err := g.check(Resources{GPU: int64(len(g.Devices))}); err != nil {
		return nil, err
	}
	return g, nil
}

// ParseGPUShare reads a share such as 0.25 in thousandths: above 0, at most 1, at most three decimals.
func ParseGPUShare(text string) (int64, error) {
	bad := Refuse(InvalidArgument, "gpu share %q is not a number from 0.001 to 1 with at most three decimals", clip(text, 40))
	whole, part, _ := strings.Cut(text, ".")
	if whole == "" || len(part) > 3 || strings.HasPrefix(whole, "+") || strings.HasPrefix(part, "+") {
		return 0, bad
	}
	n, err := strconv.ParseUint(whole+(part + "000")[:3], 10, 32)
	if err != nil || n < 1 || n > WholeGPU {
		return 0, bad
	}
	return int64(n), nil
}

// Devices returns how a lease has the gpus that it names; nil is that it names none.
func (t *Terms) Devices() *GPUTerms {
	if t == nil || t.GPU == nil || len(t.GPU.Devices) == 0 {
		return nil
	}
	return t.GPU
}
