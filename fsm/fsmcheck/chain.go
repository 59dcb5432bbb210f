package fsmcheck

import (
	"encoding/json"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/fsm"
)

// audits counts, by kind and subject, the audit records that the changes of an entry ask for,
// and those that they may ask for.
type audits struct{ must, may map[auditID]int }

type auditID struct{ kind, id string }

func newAudits() audits { return audits{map[auditID]int{}, map[auditID]int{}} }

func (a audits) expect(kind, id string) { a.must[auditID{kind, id}]++ }

// expectState asks for the record of a lease's new state. That a lease was released is the
// reason of its teardown, if nothing was before.
func (a audits) expectState(l api.Lease) {
	switch l.State {
	case api.LeaseExpired:
		a.expect("lease_expired", string(l.ID))
	case api.LeaseTornDown:
		a.expect("lease_torndown", string(l.ID))
	case api.LeaseFenced:
		a.expect("lease_fenced", string(l.ID))
	case api.LeaseFailedClosed:
		a.expect("lease_failed_closed", string(l.ID))
	case api.LeaseRevokeWarning:
		a.expect("lease_revoked", string(l.ID))
	case api.LeaseForcedTeardown:
		if l.Reason == fsm.ReasonReleased {
			a.expect("lease_released", string(l.ID))
		} else {
			a.may[auditID{"lease_released", string(l.ID)}]++
		}
	case api.LeaseActive, api.LeaseGraceRunning, api.LeaseCheckpoint:
	}
}

// exact lists the kinds of records of which there is one for every change that asks for it,
// and none else. A lease's revocation may also be told by what shortens its grace.
func exact(kind string) bool {
	switch kind {
	case "lease_granted", "lease_renewed", "lease_expired", "lease_torndown", "lease_fenced", "lease_unfenced", "lease_failed_closed", "lease_released",
		"tenant_created", "tenant_deleted", "quota_set", "run_placed", "run_finished", "run_finalised":
		return true
	}
	return false
}

// chained checks L9: the records of an entry follow the chain, are the ones that its changes
// ask for, and end at the head that the state keeps.
func (c *Checker) chained(ch fsm.Change, expected audits) {
	found := map[auditID]int{}
	for _, r := range ch.Audit {
		if err := c.chain.Next(r); err != nil {
			c.want(false, "L9", "%v", err)
			c.chain = api.NewAuditVerifier(api.AuditHead{Sequence: r.Sequence, Hash: r.Hash})
		}
		found[auditID{r.Kind, subject(r)}]++
	}
	c.want(c.chain.Head() == ch.Head, "L9", "its records end at %+v, the state's head is %+v", c.chain.Head(), ch.Head)
	c.chain = api.NewAuditVerifier(ch.Head)
	for id, n := range expected.must {
		c.want(found[id] >= n, "L9", "%d records of kind %s of %s are missing", n-found[id], id.kind, id.id)
	}
	for id, n := range found {
		most := expected.must[id] + expected.may[id]
		c.want(!exact(id.kind) || n <= most, "L9", "%d records of kind %s of %s are of no change", n-most, id.kind, id.id)
	}
}

// subject returns what a record is about.
func subject(r api.AuditRecord) string {
	var on struct {
		Lease  string `json:"lease_id"`
		Run    string `json:"run_id"`
		Tenant string `json:"tenant"`
	}
	if err := json.Unmarshal(r.Data, &on); err != nil {
		return ""
	}
	switch {
	case on.Lease != "":
		return on.Lease
	case on.Run != "":
		return on.Run
	}
	return on.Tenant
}
