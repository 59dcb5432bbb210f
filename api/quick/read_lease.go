package quick

import "github.com/grafos/grafos/api"

func (d *in) leaseState() api.LeaseState {
	return api.LeaseState(d.known(string(api.LeaseActive), string(api.LeaseTornDown), string(api.LeaseExpired), string(api.LeaseForcedTeardown)))
}

func (d *in) lease(l *api.Lease) {
	d.object(leaseNeeds, func(name []byte) int { return d.leaseField(l, name) })
}

func (d *in) grant(g *api.Grant) {
	d.object(leaseNeeds, func(name []byte) int {
		if string(name) == "token" {
			g.Token = d.text()
			return fieldToken
		}
		return d.leaseField(&g.Lease, name)
	})
}

// The fields of a lease that are always there, and those that may be left out behind them.
const (
	leaseAlways = 16
	leaseNeeds  = 1<<leaseAlways - 1
	fieldToken  = 26
)

// leaseField reads one field of a lease and returns its number.
func (d *in) leaseField(l *api.Lease, name []byte) int {
	if n := d.leaseNames(l, name); n != unknown {
		return n
	}
	if n := d.leaseNumbers(l, name); n != unknown {
		return n
	}
	return d.leaseRest(l, name)
}

func (d *in) leaseNames(l *api.Lease, name []byte) int {
	switch string(name) {
	case "lease_id":
		l.ID = api.LeaseID(d.text())
		return 0
	case "tenant":
		l.Tenant = api.TenantID(d.text())
		return 1
	case "provider":
		l.Provider = api.ProviderID(d.text())
		return 2
	case "cell_id":
		l.CellID = api.CellID(d.text())
		return 3
	case "kind":
		l.Kind = api.LeaseKind(d.known(string(api.KindMem), string(api.KindCPU), string(api.KindBlock), string(api.KindNet), string(api.KindGPU)))
		return 4
	case "state":
		l.State = d.leaseState()
		return 5
	case "priority":
		l.Priority = d.priority()
		return 6
	}
	return unknown
}

func (d *in) leaseNumbers(l *api.Lease, name []byte) int {
	switch string(name) {
	case "amount":
		l.Amount = d.int()
		return 7
	case "generation":
		l.Generation = d.number()
		return 8
	case "epoch":
		l.Epoch = d.number()
		return 9
	case "ttl_ms":
		l.TTLMs = d.int()
		return 10
	case "granted_tick":
		l.Granted = api.Tick(d.int())
		return 11
	case "expires_tick":
		l.Expires = api.Tick(d.int())
		return 12
	case "modified_index":
		l.Modified = d.number()
		return 13
	case "ended_tick":
		l.Ended = api.Tick(d.int())
		return leaseAlways
	case "unfenced_tick":
		l.Unfenced = api.Tick(d.int())
		return leaseAlways + 11
	case "force_at_tick":
		l.ForceAt = api.Tick(d.int())
		return leaseAlways + 1
	case "bound_generation":
		l.BoundGeneration = d.number()
		return leaseAlways + 2
	}
	return unknown
}

func (d *in) leaseRest(l *api.Lease, name []byte) int {
	switch string(name) {
	case "granted_at":
		l.GrantedAt = d.time()
		return 14
	case "expires_at":
		l.ExpiresAt = d.time()
		return 15
	case "stamp":
		d.stamp(&l.Stamp)
		return leaseAlways + 3
	case "bound_at":
		l.BoundAt = d.time()
		return leaseAlways + 4
	case "ended_at":
		l.EndedAt = d.time()
		return leaseAlways + 5
	case "run_id":
		l.RunID = api.RunID(d.text())
		return leaseAlways + 6
	case "use":
		l.Use = api.Use(d.known(string(api.UseRegion), string(api.UseLinear)))
		return leaseAlways + 7
	case "coordinate":
		l.Coordinate = d.text()
		return leaseAlways + 8
	case "reason":
		l.Reason = d.known("expired", "released")
		return leaseAlways + 9
	case "unfenced_at":
		l.UnfencedAt = d.time()
		return leaseAlways + 10
	}
	return unknown
}

func (d *in) leaseAnswer(a *api.LeaseAnswer) {
	d.object(bits(2), func(name []byte) int {
		switch string(name) {
		case "index":
			a.Index = d.number()
			return 0
		case "lease":
			d.grant(&a.Lease)
			return 1
		case "last_contact_ms":
			a.LastContactMs = d.age()
			return 2
		}
		return unknown
	})
}

func (d *in) leaseList(l *api.LeaseList) {
	d.object(bits(2), func(name []byte) int {
		switch string(name) {
		case "index":
			l.Index = d.number()
			return 0
		case "leases":
			l.Leases = items(d, maxItems, (*in).lease)
			return 1
		case "next_page_token":
			l.NextPage = d.text()
			return 2
		case "last_contact_ms":
			l.LastContactMs = d.age()
			return 3
		}
		return unknown
	})
}

func (d *in) age() *int64 {
	n := d.int()
	return &n
}

func (d *in) readIndex(r *api.ReadIndex) {
	d.object(bits(2), func(name []byte) int {
		switch string(name) {
		case "index":
			r.Index = d.number()
			return 0
		case "term":
			r.Term = d.number()
			return 1
		}
		return unknown
	})
}
