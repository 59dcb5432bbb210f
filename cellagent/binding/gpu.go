package binding

import "github.com/grafos/grafos/api"

// need returns what a lease takes of the host: its amount, and of gpus that it names those that nobody
// has yet. It refuses gpus that cannot be, are not there or have no room for it, whatever the scheduler
// thinks. mu is held.
func (h *Host) need(l *api.Lease) (int64, error) {
	g := gpusOf(l)
	if g == nil {
		return l.Amount, nil
	}
	if err := l.Terms.Check(api.Resources{GPU: l.Amount}); err != nil {
		return 0, err
	}
	if int64(len(g.Devices)) != l.Amount {
		return 0, api.Refuse(api.InvalidArgument, "lease %s is for %d gpus and names %v", l.ID, l.Amount, g.Devices)
	}
	if p := h.devices.Check(l.Tenant, g, h.capacity.GPU); p != nil {
		return 0, api.Refuse(api.Overloaded, "lease %s: %s", l.ID, p.Detail)
	}
	return h.devices.Fresh(g), nil
}

// gpusOf returns the gpus that a lease names, which only one of gpus does.
func gpusOf(l *api.Lease) *api.GPUTerms {
	if l.Kind != api.KindGPU {
		return nil
	}
	return l.Terms.Devices()
}

// known returns the terms of a fence's gpus; nil is that nobody can know which they are.
func (f Fence) known() *api.GPUTerms {
	if (&api.Terms{GPU: f.GPU}).Check(api.Resources{GPU: f.Amount}) != nil {
		return nil
	}
	return f.GPU
}

// count takes what a lease takes, or with sign -1 gives it back. mu is held.
func (h *Host) count(t api.TenantID, k api.LeaseKind, amount int64, g *api.GPUTerms, sign int) {
	amount *= int64(sign)
	if g != nil {
		before, _ := h.devices.Taken()
		h.devices = h.devices.With(t, g, false, sign)
		after, _ := h.devices.Taken()
		amount = after - before
	}
	h.used = h.used.With(k, h.used.Get(k)+amount)
}

// Devices returns what is bound of each gpu. What is fenced is bound.
func (h *Host) Devices() api.GPUUses {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.devices
}
