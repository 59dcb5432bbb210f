package api

import "slices"

// Bounds of the terms of a request.
const (
	MaxEgress      = 64
	maxEgressLen   = 300
	MaxGPUOrdinals = 64
	// WholeGPU is a device's share as a whole, in thousandths.
	WholeGPU = 1000
)

// Terms are what a request asks of its resources beyond their amounts, and what was decided on them.
// Most requests have none.
type Terms struct {
	// Egress lists what the tasklet of a net lease may reach; empty is nothing.
	Egress []string `json:"egress,omitempty"`
	// GPU says how a gpu lease has its devices; nil is each of them alone.
	GPU *GPUTerms `json:"gpu,omitempty"`
}

// GPUClass says who else may use a device that is leased.
type GPUClass string

// The classes: a share of a device beside others, a device that others of the same tenant may share, and
// a device that nobody else has.
const (
	GPUShared           GPUClass = "shared"
	GPUSessionExclusive GPUClass = "session_exclusive"
	GPUDeviceExclusive  GPUClass = "device_exclusive"
)

// Valid reports whether the class is one of those that exist.
func (c GPUClass) Valid() bool {
	return c == GPUShared || c == GPUSessionExclusive || c == GPUDeviceExclusive
}

// GPUTerms say how a gpu lease has its devices.
type GPUTerms struct {
	Class GPUClass `json:"class,omitempty"`
	// ShareMilli is what the lease takes of each device, in thousandths; 0 is the whole device.
	ShareMilli int64 `json:"share_milli,omitempty"`
	// Devices are the ordinals of the cell's devices, in rising order: the leader's choice.
	Devices []int `json:"devices,omitempty"`
}

// Of returns the part of the terms that is about one kind of resource; nil is none.
func (t *Terms) Of(k LeaseKind) *Terms {
	switch {
	case t == nil:
	case k == KindNet && len(t.Egress) > 0:
		return &Terms{Egress: t.Egress}
	case k == KindGPU && t.GPU != nil:
		return &Terms{GPU: t.GPU}
	}
	return nil
}

// Empty reports whether the terms say nothing.
func (t *Terms) Empty() bool { return t == nil || len(t.Egress) == 0 && t.GPU == nil }

// Same reports whether two terms say the same.
func (t *Terms) Same(o *Terms) bool {
	if t == nil || o == nil || t.GPU == nil || o.GPU == nil {
		return t.Empty() && o.Empty() || !t.Empty() && !o.Empty() && t.GPU == nil && o.GPU == nil && slices.Equal(t.Egress, o.Egress)
	}
	return slices.Equal(t.Egress, o.Egress) && t.GPU.Class == o.GPU.Class && t.GPU.ShareMilli == o.GPU.ShareMilli && slices.Equal(t.GPU.Devices, o.GPU.Devices)
}

// Check refuses terms that do not fit the resources that are asked for, or that could never hold.
func (t *Terms) Check(r Resources) error {
	if t == nil {
		return nil
	}
	if err := t.checkEgress(r); err != nil {
		return err
	}
	if t.GPU == nil {
		return nil
	}
	return t.GPU.check(r)
}

func (t *Terms) checkEgress(r Resources) error {
	if len(t.Egress) > 0 && r.Net == 0 {
		return Refuse(InvalidArgument, "the terms list %d destinations, and the request asks for no net", len(t.Egress)).
			WithHint("ask for net, in bits a second")
	}
	if len(t.Egress) > MaxEgress {
		return Refuse(InvalidArgument, "the terms list %d destinations: at most %d", len(t.Egress), MaxEgress)
	}
	for _, e := range t.Egress {
		if len(e) == 0 || len(e) > maxEgressLen {
			return Refuse(InvalidArgument, "destination %q has %d bytes: it must have 1 to %d", clip(e, 80), len(e), maxEgressLen)
		}
	}
	return nil
}

func (g *GPUTerms) check(r Resources) error {
	if r.GPU == 0 {
		return Refuse(InvalidArgument, "the terms are about a gpu, and the request asks for none").WithHint("ask for gpu, in devices")
	}
	if !g.Class.Valid() {
		return Refuse(InvalidArgument, "gpu class %q is not one of shared, session_exclusive, device_exclusive", clip(string(g.Class), 40))
	}
	if g.ShareMilli < 0 || g.ShareMilli > WholeGPU {
		return Refuse(InvalidArgument, "a gpu share of %d thousandths: it must be from 1 to %d", g.ShareMilli, WholeGPU)
	}
	if g.ShareMilli != 0 && g.ShareMilli != WholeGPU && g.Class == GPUDeviceExclusive {
		return Refuse(InvalidArgument, "a device that nobody else has is a whole one: class %s has no share", g.Class)
	}
	if len(g.Devices) > MaxGPUOrdinals {
		return Refuse(InvalidArgument, "the terms name %d devices: at most %d", len(g.Devices), MaxGPUOrdinals)
	}
	last := -1
	for _, d := range g.Devices {
		if d <= last || d >= MaxGPUOrdinals {
			return Refuse(InvalidArgument, "device %d: ordinals rise, from 0 to %d", d, MaxGPUOrdinals-1)
		}
		last = d
	}
	return nil
}
