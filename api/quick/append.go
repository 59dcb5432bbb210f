package quick

import (
	"slices"

	"github.com/grafos/grafos/api"
)

// roomBound and roomEnded are what one item of a report takes, about.
const (
	roomBound = 800
	roomEnded = 128
)

// Append adds the JSON of a document to b. It reports false, and adds nothing, where the
// document is not for this package.
func Append(b []byte, v any) ([]byte, bool) {
	o := out{b: b}
	switch v := v.(type) {
	case *api.GrantSet:
		o.grantSet(v)
	case *api.BatchAnswer:
		o.batchAnswer(v)
	case *api.ReportAnswer:
		o.reportAnswer(v)
	case *api.LeaseAnswer:
		o.leaseAnswer(v)
	case *api.LeaseList:
		o.leaseList(v)
	case *api.ReadIndex:
		o.readIndex(v)
	case api.Desired:
		o.desired(&v)
	case api.LeaseRequest:
		o.leaseRequest(&v)
		o.raw("}")
	case api.BatchRequest:
		o.raw(`{"requests":`)
		list(&o, v.Requests, (*out).batchItem)
		o.raw("}")
	case api.Report:
		o.b = slices.Grow(b, 256+roomBound*len(v.Bound)+roomEnded*len(v.Ended))
		o.report(&v)
	default:
		return b, false
	}
	if o.bad {
		return b, false
	}
	return o.b, true
}

func (o *out) grantSet(s *api.GrantSet) {
	if s == nil {
		o.raw("null")
		return
	}
	o.raw(`{"index":`)
	o.number(s.Index)
	o.raw(`,"cell_id":`)
	o.text(string(s.CellID))
	o.raw(`,"leases":`)
	list(o, s.Leases, (*out).grant)
	o.raw("}")
}

func (o *out) batchAnswer(a *api.BatchAnswer) {
	if a == nil {
		o.raw("null")
		return
	}
	o.raw(`{"index":`)
	o.number(a.Index)
	o.raw(`,"answers":`)
	list(o, a.Answers, (*out).batchResult)
	o.raw("}")
}

func (o *out) batchResult(r *api.BatchResult) {
	o.raw("{")
	comma := ""
	if r.Grant != nil {
		o.raw(`"grant":`)
		o.grantSet(r.Grant)
		comma = ","
	}
	if r.Problem != nil {
		o.raw(comma + `"problem":`)
		o.other(r.Problem)
		comma = ","
	}
	if r.IdempotencyKey != "" {
		o.raw(comma)
		o.raw(`"idempotency_key":`)
		o.text(r.IdempotencyKey)
	}
	o.raw("}")
}

func (o *out) grant(g *api.Grant) {
	o.lease(&g.Lease)
	o.textField(`,"token":`, g.Token)
	o.raw("}")
}

func (o *out) wholeLease(l *api.Lease) {
	o.lease(l)
	o.raw("}")
}

// lease leaves the object open, for what is written behind its fields.
func (o *out) lease(l *api.Lease) {
	o.raw(`{"lease_id":`)
	o.text(string(l.ID))
	o.textField(`,"run_id":`, string(l.RunID))
	o.raw(`,"tenant":`)
	o.text(string(l.Tenant))
	o.raw(`,"provider":`)
	o.text(string(l.Provider))
	o.raw(`,"cell_id":`)
	o.text(string(l.CellID))
	o.raw(`,"kind":`)
	o.text(string(l.Kind))
	o.textField(`,"use":`, string(l.Use))
	o.raw(`,"amount":`)
	o.int(l.Amount)
	o.raw(`,"state":`)
	o.text(string(l.State))
	o.raw(`,"generation":`)
	o.number(l.Generation)
	o.raw(`,"epoch":`)
	o.number(l.Epoch)
	o.raw(`,"priority":`)
	o.text(string(l.Priority))
	o.raw(`,"ttl_ms":`)
	o.int(l.TTLMs)
	o.leaseTimes(l)
}

func (o *out) leaseTimes(l *api.Lease) {
	o.raw(`,"granted_at":`)
	o.time(l.GrantedAt)
	o.raw(`,"expires_at":`)
	o.time(l.ExpiresAt)
	o.timeField(`,"bound_at":`, l.BoundAt)
	o.timeField(`,"ended_at":`, l.EndedAt)
	o.timeField(`,"unfenced_at":`, l.UnfencedAt)
	o.numberField(`,"bound_generation":`, l.BoundGeneration)
	o.textField(`,"coordinate":`, l.Coordinate)
	o.textField(`,"holder":`, l.Holder)
	o.terms(l.Terms)
	o.textField(`,"reason":`, l.Reason)
	o.raw(`,"granted_tick":`)
	o.int(int64(l.Granted))
	o.raw(`,"expires_tick":`)
	o.int(int64(l.Expires))
	o.intField(`,"ended_tick":`, int64(l.Ended))
	o.intField(`,"unfenced_tick":`, int64(l.Unfenced))
	o.intField(`,"force_at_tick":`, int64(l.ForceAt))
	o.raw(`,"stamp":`)
	o.stamp(&l.Stamp)
	o.raw(`,"modified_index":`)
	o.number(l.Modified)
}

func (o *out) stamp(s *api.Stamp) {
	o.raw(`{"boot_id":`)
	o.text(s.BootID)
	o.raw(`,"boottime_ns":`)
	o.int(s.BootTime)
	o.raw("}")
}

func (o *out) desired(d *api.Desired) {
	o.raw(`{"index":`)
	o.number(d.Index)
	if d.Full {
		o.raw(`,"full":true`)
	}
	listField(o, `,"leases":`, d.Leases, (*out).wholeLease)
	if len(d.Runs) > 0 {
		o.raw(`,"runs":`)
		o.other(d.Runs)
	}
	o.intField(`,"now_tick":`, int64(d.Now))
	if len(d.Asks) > 0 {
		o.raw(`,"asks":`)
		o.other(d.Asks)
	}
	listField(o, `,"schedulers":`, d.Schedulers, func(o *out, s *string) { o.text(*s) })
	o.intField(`,"heartbeat_ms":`, d.HeartbeatMs)
	o.intField(`,"limit_ms":`, d.LimitMs)
	if d.Epoch != 0 {
		o.raw(`,"epoch":`)
		o.number(d.Epoch)
	}
	if d.ClusterEpoch != 0 {
		o.raw(`,"cluster_epoch":`)
		o.number(d.ClusterEpoch)
	}
	if d.Fences {
		o.raw(`,"fences":true`)
	}
	listField(o, `,"fenced":`, d.Fenced, (*out).wholeLease)
	o.textField(`,"closing":`, d.Closing)
	o.raw("}")
}

// leaseRequest leaves the object open.
func (o *out) leaseRequest(r *api.LeaseRequest) {
	o.raw(`{"provider":`)
	o.text(string(r.Provider))
	o.raw(`,"resources":{"cpu":`)
	o.int(r.Resources.CPU)
	o.raw(`,"mem":`)
	o.int(r.Resources.Mem)
	o.raw(`,"block":`)
	o.int(r.Resources.Block)
	o.raw(`,"net":`)
	o.int(r.Resources.Net)
	o.raw(`,"gpu":`)
	o.int(r.Resources.GPU)
	o.raw(`},"ttl_ms":`)
	o.int(r.TTLMs)
	o.textField(`,"tenant":`, string(r.Tenant))
	o.textField(`,"priority":`, string(r.Priority))
	o.textField(`,"holder":`, r.Holder)
	o.terms(r.Terms)
}

func (o *out) terms(t *api.Terms) {
	if t != nil {
		o.raw(`,"terms":`)
		o.other(t)
	}
}

func (o *out) batchItem(i *api.BatchItem) {
	o.leaseRequest(&i.LeaseRequest)
	o.textField(`,"idempotency_key":`, i.IdempotencyKey)
	o.raw("}")
}

func (o *out) report(r *api.Report) {
	o.raw(`{"cell_epoch":`)
	o.number(r.Epoch)
	if h := r.Heartbeat; h != nil {
		o.raw(`,"heartbeat":{"seq":`)
		o.number(h.Seq)
		o.raw(`,"stamp":`)
		o.stamp(&h.Stamp)
		o.textField(`,"stuck":`, h.Stuck)
		o.raw("}")
	}
	if r.Inventory != nil {
		o.raw(`,"inventory":`)
		o.other(r.Inventory)
	}
	listField(o, `,"bound":`, r.Bound, (*out).bound)
	listField(o, `,"ended":`, r.Ended, (*out).ended)
	if len(r.Runs) > 0 {
		o.raw(`,"runs":`)
		o.other(r.Runs)
	}
	if len(r.Minted) > 0 {
		o.raw(`,"minted":`)
		o.other(r.Minted)
	}
	if len(r.Progress) > 0 {
		o.raw(`,"progress":`)
		o.other(r.Progress)
	}
	o.raw("}")
}

func (o *out) bound(b *api.BoundReport) {
	o.raw(`{"lease_id":`)
	o.text(string(b.LeaseID))
	o.raw(`,"generation":`)
	o.number(b.Generation)
	o.raw(`,"epoch":`)
	o.number(b.Epoch)
	o.textField(`,"coordinate":`, b.Coordinate)
	o.textField(`,"token":`, b.Token)
	o.raw("}")
}

func (o *out) ended(e *api.EndedReport) {
	o.raw(`{"lease_id":`)
	o.text(string(e.LeaseID))
	o.raw(`,"epoch":`)
	o.number(e.Epoch)
	o.raw(`,"state":`)
	o.text(string(e.State))
	o.textField(`,"reason":`, e.Reason)
	o.raw("}")
}

func (o *out) reportAnswer(a *api.ReportAnswer) {
	if a == nil {
		o.raw("null")
		return
	}
	o.raw(`{"index":`)
	o.number(a.Index)
	if len(a.Refused) > 0 {
		o.raw(`,"refused":`)
		o.other(a.Refused)
	}
	o.raw("}")
}
