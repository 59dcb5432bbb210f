package fsm

import (
	"encoding/binary"

	"github.com/grafos/grafos/api"
)

// What a busy log is made of (grants, renewals, frees, reports, advances, quotas) is written and read
// by hand: the same deterministic CBOR that the codec makes, at a tenth of its cost. The
// fields come in the order of deterministic CBOR: shorter names first, then by their bytes.

// The major types of CBOR.
const (
	cborUint  = 0 << 5
	cborNeg   = 1 << 5
	cborBytes = 2 << 5
	cborText  = 3 << 5
	cborArray = 4 << 5
	cborMap   = 5 << 5
	cborNull  = 0xf6
)

func appendHead(b []byte, major byte, n uint64) []byte {
	switch {
	case n < 24:
		return append(b, major|byte(n))
	case n <= 0xff:
		return append(b, major|24, byte(n))
	case n <= 0xffff:
		return binary.BigEndian.AppendUint16(append(b, major|25), uint16(n))
	case n <= 0xffffffff:
		return binary.BigEndian.AppendUint32(append(b, major|26), uint32(n))
	}
	return binary.BigEndian.AppendUint64(append(b, major|27), n)
}

func putText[T ~string](b []byte, name string, v T) []byte {
	b = appendName(b, name)
	return append(appendHead(b, cborText, uint64(len(v))), v...)
}

func putInt[T ~int64](b []byte, name string, v T) []byte {
	b = appendName(b, name)
	if v < 0 {
		return appendHead(b, cborNeg, uint64(-(v + 1)))
	}
	return appendHead(b, cborUint, uint64(v))
}

func putUint(b []byte, name string, v uint64) []byte {
	return appendHead(appendName(b, name), cborUint, v)
}

// appendName writes the name of a field; all are short.
func appendName(b []byte, name string) []byte {
	return append(append(b, cborText|byte(len(name))), name...)
}

// count returns how many of the conditions hold.
func count(conditions ...bool) (n uint64) {
	for _, c := range conditions {
		if c {
			n++
		}
	}
	return n
}

// appendHot writes the body of a command that is written by hand; ok is false for others, and
// for those that carry what is not.
func appendHot(b []byte, c Command) (body []byte, ok bool) {
	switch c := c.(type) {
	case GrantLeases:
		return appendGrant(b, &c)
	case *GrantLeases:
		return appendGrant(b, c)
	case ReportCell:
		return appendReport(b, &c)
	case *ReportCell:
		return appendReport(b, c)
	case FreeLease:
		return appendFree(b, &c), true
	case *FreeLease:
		return appendFree(b, c), true
	case RenewLease:
		return appendRenew(b, &c), true
	case *RenewLease:
		return appendRenew(b, c), true
	case AdvanceLeases:
		return appendAdvance(b, &c), true
	case *AdvanceLeases:
		return appendAdvance(b, c), true
	case SetQuota:
		return appendSetQuota(b, &c), true
	case *SetQuota:
		return appendSetQuota(b, c), true
	}
	return b, false
}

func appendIdem(b []byte, i Idem) []byte {
	b = appendName(b, "idem")
	b = appendHead(b, cborMap, count(i.Key != "", i.Hash != "", i.Scope != ""))
	if i.Key != "" {
		b = putText(b, "key", i.Key)
	}
	if i.Hash != "" {
		b = putText(b, "hash", i.Hash)
	}
	if i.Scope != "" {
		b = putText(b, "scope", i.Scope)
	}
	return b
}

func appendStamp(b []byte, s api.Stamp) []byte {
	b = appendHead(appendName(b, "stamp"), cborMap, 2)
	return putInt(putText(b, "boot_id", s.BootID), "boottime_ns", s.BootTime)
}

func appendGrant(b []byte, c *GrantLeases) ([]byte, bool) {
	if c.Run != nil || c.Items == nil || c.Holder != "" || c.Terms != nil {
		return b, false
	}
	b = appendHead(b, cborMap, 10)
	b = appendIdem(b, c.Idem)
	b = putText(b, "actor", c.Actor)
	b = appendHead(appendName(b, "items"), cborArray, uint64(len(c.Items)))
	for _, i := range c.Items {
		b = appendHead(b, cborMap, 3+count(i.Use != ""))
		if i.Use != "" {
			b = putText(b, "use", i.Use)
		}
		b = putText(b, "kind", i.Kind)
		b = putInt(b, "amount", i.Amount)
		b = putText(b, "lease_id", i.ID)
	}
	b = appendStamp(b, c.Stamp)
	b = putText(b, "tenant", c.Tenant)
	b = putInt(b, "ttl_ms", c.TTLMs)
	b = putText(b, "cell_id", c.Cell)
	b = putText(b, "priority", c.Priority)
	b = putText(b, "provider", c.Provider)
	return putUint(b, "cell_epoch", c.CellEpoch), true
}

func appendReport(b []byte, c *ReportCell) ([]byte, bool) {
	if len(c.Runs) > 0 || c.Inventory != nil || len(c.Progress) > 0 {
		return b, false
	}
	b = appendHead(b, cborMap, 2+count(len(c.Bound) > 0, len(c.Ended) > 0))
	if len(c.Bound) > 0 {
		b = appendHead(appendName(b, "bound"), cborArray, uint64(len(c.Bound)))
		for _, r := range c.Bound {
			b = appendBound(b, r)
		}
	}
	if len(c.Ended) > 0 {
		b = appendHead(appendName(b, "ended"), cborArray, uint64(len(c.Ended)))
		for _, r := range c.Ended {
			b = appendEnded(b, r)
		}
	}
	b = putText(b, "cell_id", c.Cell)
	return putUint(b, "cell_epoch", c.Epoch), true
}

func appendBound(b []byte, r api.BoundReport) []byte {
	b = appendHead(b, cborMap, 3+count(r.Token != "", r.Coordinate != ""))
	b = putUint(b, "epoch", r.Epoch)
	if r.Token != "" {
		b = putText(b, "token", r.Token)
	}
	b = putText(b, "lease_id", r.LeaseID)
	if r.Coordinate != "" {
		b = putText(b, "coordinate", r.Coordinate)
	}
	return putUint(b, "generation", r.Generation)
}

func appendEnded(b []byte, r api.EndedReport) []byte {
	b = appendHead(b, cborMap, 3+count(r.Reason != ""))
	b = putUint(b, "epoch", r.Epoch)
	b = putText(b, "state", r.State)
	if r.Reason != "" {
		b = putText(b, "reason", r.Reason)
	}
	return putText(b, "lease_id", r.LeaseID)
}

func appendFree(b []byte, c *FreeLease) []byte {
	b = appendHead(b, cborMap, 3+count(c.Reason != ""))
	b = appendIdem(b, c.Idem)
	b = putText(b, "actor", c.Actor)
	if c.Reason != "" {
		b = putText(b, "reason", c.Reason)
	}
	return putText(b, "lease_id", c.Lease)
}

func appendRenew(b []byte, c *RenewLease) []byte {
	b = appendHead(b, cborMap, 5)
	b = appendIdem(b, c.Idem)
	b = putText(b, "actor", c.Actor)
	b = appendStamp(b, c.Stamp)
	b = putInt(b, "ttl_ms", c.TTLMs)
	return putText(b, "lease_id", c.Lease)
}

func appendAdvance(b []byte, c *AdvanceLeases) []byte {
	b = appendName(appendHead(b, cborMap, 1), "leases")
	if c.Leases == nil {
		return append(b, cborNull)
	}
	b = appendHead(b, cborArray, uint64(len(c.Leases)))
	for _, id := range c.Leases {
		b = append(appendHead(b, cborText, uint64(len(id))), id...)
	}
	return b
}

func appendSetQuota(b []byte, c *SetQuota) []byte {
	b = appendHead(b, cborMap, 4)
	b = appendIdem(b, c.Idem)
	b = putText(b, "actor", c.Actor)
	b = appendHead(appendName(b, "quota"), cborMap, 6)
	b = putInt(b, "cpu", c.Quota.CPU)
	b = putInt(b, "gpu", c.Quota.GPU)
	b = putInt(b, "mem", c.Quota.Mem)
	b = putInt(b, "net", c.Quota.Net)
	b = putInt(b, "block", c.Quota.Block)
	b = putInt(b, "leases", c.Quota.Leases)
	return putText(b, "tenant", c.Tenant)
}
