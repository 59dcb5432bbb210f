package quick

import "github.com/grafos/grafos/api"

// maxItems bounds a list; a longer one is for encoding/json, with whatever bounds it has.
const maxItems = 4096

// Read reads a document into v, which points to its zero value. It reports false where the
// document is not for this package; v is then what it was.
func Read(b []byte, v any) bool {
	d := &in{b: b}
	switch v := v.(type) {
	case *api.LeaseRequest:
		return whole(d, v, (*in).leaseRequest)
	case *api.BatchRequest:
		return whole(d, v, (*in).batchRequest)
	case *api.Report:
		return whole(d, v, (*in).report)
	case *api.GrantSet:
		return whole(d, v, (*in).grantSet)
	case *api.BatchAnswer:
		return whole(d, v, (*in).batchAnswer)
	case *api.ReportAnswer:
		return whole(d, v, (*in).reportAnswer)
	case *api.Desired:
		return whole(d, v, (*in).desired)
	case *api.LeaseAnswer:
		return whole(d, v, (*in).leaseAnswer)
	case *api.LeaseList:
		return whole(d, v, (*in).leaseList)
	case *api.ReadIndex:
		return whole(d, v, (*in).readIndex)
	}
	return false
}

func whole[T any](d *in, into *T, one func(*in, *T)) bool {
	var v T
	one(d, &v)
	if !d.end() {
		return false
	}
	*into = v
	return true
}

// bits has a bit for each of the fields below n.
func bits(n int) uint64 { return 1<<n - 1 }

func (d *in) resources(r *api.Resources) {
	d.object(0, func(name []byte) int {
		switch string(name) {
		case "cpu":
			r.CPU = d.int()
			return 0
		case "mem":
			r.Mem = d.int()
			return 1
		case "block":
			r.Block = d.int()
			return 2
		case "net":
			r.Net = d.int()
			return 3
		case "gpu":
			r.GPU = d.int()
			return 4
		}
		return unknown
	})
}

func (d *in) leaseRequest(r *api.LeaseRequest) {
	d.object(bits(3), func(name []byte) int { return d.leaseRequestField(r, name) })
}

func (d *in) leaseRequestField(r *api.LeaseRequest, name []byte) int {
	switch string(name) {
	case "provider":
		r.Provider = api.ProviderID(d.text())
		return 0
	case "resources":
		d.resources(&r.Resources)
		return 1
	case "ttl_ms":
		r.TTLMs = d.int()
		return 2
	case "tenant":
		r.Tenant = api.TenantID(d.text())
		return 3
	case "priority":
		r.Priority = d.priority()
		return 4
	}
	return unknown
}

func (d *in) priority() api.Priority {
	return api.Priority(d.known(string(api.PriorityStandard), string(api.PriorityGuaranteed), string(api.PriorityScavenger)))
}

func (d *in) batchRequest(r *api.BatchRequest) {
	d.object(bits(1), func(name []byte) int {
		if string(name) != "requests" {
			return unknown
		}
		r.Requests = items(d, api.MaxBatch, (*in).batchItem)
		return 0
	})
}

func (d *in) batchItem(i *api.BatchItem) {
	d.object(bits(3), func(name []byte) int {
		if string(name) == "idempotency_key" {
			i.IdempotencyKey = d.text()
			return 5
		}
		return d.leaseRequestField(&i.LeaseRequest, name)
	})
}

func (d *in) grantSet(s *api.GrantSet) {
	d.object(bits(3), func(name []byte) int {
		switch string(name) {
		case "index":
			s.Index = d.number()
			return 0
		case "cell_id":
			s.CellID = api.CellID(d.text())
			return 1
		case "leases":
			s.Leases = items(d, maxItems, (*in).grant)
			return 2
		}
		return unknown
	})
}

// A batch with a problem in it is for encoding/json.
func (d *in) batchAnswer(a *api.BatchAnswer) {
	d.object(bits(2), func(name []byte) int {
		switch string(name) {
		case "index":
			a.Index = d.number()
			return 0
		case "answers":
			a.Answers = items(d, api.MaxBatch, (*in).batchResult)
			return 1
		}
		return unknown
	})
}

func (d *in) batchResult(r *api.BatchResult) {
	d.object(0, func(name []byte) int {
		switch string(name) {
		case "grant":
			r.Grant = &api.GrantSet{}
			d.grantSet(r.Grant)
			return 0
		case "idempotency_key":
			r.IdempotencyKey = d.text()
			return 1
		}
		return unknown
	})
}

func (d *in) reportAnswer(a *api.ReportAnswer) {
	d.object(bits(1), func(name []byte) int {
		if string(name) != "index" {
			return unknown // refusals are rare
		}
		a.Index = d.number()
		return 0
	})
}

// A message with runs or questions is for encoding/json.
func (d *in) desired(v *api.Desired) {
	d.object(bits(1), func(name []byte) int {
		switch string(name) {
		case "index":
			v.Index = d.number()
			return 0
		case "full":
			v.Full = d.yes()
			return 1
		case "leases":
			v.Leases = items(d, maxItems, (*in).lease)
			return 2
		case "schedulers":
			v.Schedulers = items(d, maxItems, func(d *in, s *string) { *s = d.text() })
			return 3
		case "epoch":
			v.Epoch = d.number()
			return 4
		case "cluster_epoch":
			v.ClusterEpoch = d.number()
			return 5
		case "fences":
			v.Fences = d.yes()
			return 6
		case "fenced":
			v.Fenced = items(d, maxItems, (*in).lease)
			return 7
		}
		return unknown
	})
}

// A report with runs, an inventory or answers is for encoding/json.
func (d *in) report(r *api.Report) {
	d.object(bits(1), func(name []byte) int {
		switch string(name) {
		case "cell_epoch":
			r.Epoch = d.number()
			return 0
		case "heartbeat":
			r.Heartbeat = &api.Heartbeat{}
			d.heartbeat(r.Heartbeat)
			return 1
		case "bound":
			r.Bound = items(d, api.MaxReportItems, (*in).bound)
			return 2
		case "ended":
			r.Ended = items(d, api.MaxReportItems, (*in).ended)
			return 3
		}
		return unknown
	})
}

func (d *in) heartbeat(h *api.Heartbeat) {
	d.object(bits(2), func(name []byte) int {
		switch string(name) {
		case "seq":
			h.Seq = d.number()
			return 0
		case "stamp":
			d.stamp(&h.Stamp)
			return 1
		case "stuck":
			h.Stuck = d.text()
			return 2
		}
		return unknown
	})
}

func (d *in) stamp(s *api.Stamp) {
	d.object(bits(2), func(name []byte) int {
		switch string(name) {
		case "boot_id":
			s.BootID = d.text()
			return 0
		case "boottime_ns":
			s.BootTime = d.int()
			return 1
		}
		return unknown
	})
}

func (d *in) bound(b *api.BoundReport) {
	d.object(bits(3), func(name []byte) int {
		switch string(name) {
		case "lease_id":
			b.LeaseID = api.LeaseID(d.text())
			return 0
		case "generation":
			b.Generation = d.number()
			return 1
		case "epoch":
			b.Epoch = d.number()
			return 2
		case "coordinate":
			b.Coordinate = d.text()
			return 3
		case "token":
			b.Token = d.text()
			return 4
		}
		return unknown
	})
}

func (d *in) ended(e *api.EndedReport) {
	d.object(bits(3), func(name []byte) int {
		switch string(name) {
		case "lease_id":
			e.LeaseID = api.LeaseID(d.text())
			return 0
		case "epoch":
			e.Epoch = d.number()
			return 1
		case "state":
			e.State = d.leaseState()
			return 2
		case "reason":
			e.Reason = d.known("expired", "released")
			return 3
		}
		return unknown
	})
}
