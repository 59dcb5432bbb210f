package quick

import "github.com/grafos/grafos/api"

func (o *out) leaseAnswer(a *api.LeaseAnswer) {
	if a == nil {
		o.raw("null")
		return
	}
	o.raw(`{"index":`)
	o.number(a.Index)
	o.raw(`,"lease":`)
	o.grant(&a.Lease)
	o.freshness(&a.Freshness)
	o.raw("}")
}

func (o *out) leaseList(l *api.LeaseList) {
	if l == nil {
		o.raw("null")
		return
	}
	o.raw(`{"index":`)
	o.number(l.Index)
	o.raw(`,"leases":`)
	list(o, l.Leases, (*out).wholeLease)
	o.textField(`,"next_page_token":`, l.NextPage)
	o.freshness(&l.Freshness)
	o.raw("}")
}

func (o *out) freshness(f *api.Freshness) {
	if f.LastContactMs != nil {
		o.raw(`,"last_contact_ms":`)
		o.int(*f.LastContactMs)
	}
}

func (o *out) readIndex(r *api.ReadIndex) {
	if r == nil {
		o.raw("null")
		return
	}
	o.raw(`{"index":`)
	o.number(r.Index)
	o.raw(`,"term":`)
	o.number(r.Term)
	o.raw("}")
}
