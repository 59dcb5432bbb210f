package fsm

import "github.com/grafos/grafos/api"

// NoteMembership says that an operator asked for a change of who leads or who is a member. The
// change itself is Raft's own; this is who wanted it and why, and makes repeating it harmless.
type NoteMembership struct {
	Actor  string     `json:"actor"`
	Idem   Idem       `json:"idem"`
	Change Membership `json:"change"`
	Node   api.NodeID `json:"node_id,omitempty"` // whom it is about; "" is whoever is furthest
	Force  bool       `json:"force,omitempty"`
	Reason string     `json:"reason,omitempty"`
}

// Membership is what an operator may change of the Raft group.
type Membership string

// The changes. They are audit kinds too.
const (
	RaftTransfer Membership = "raft_transfer_asked"
	RaftRemove   Membership = "raft_remove_asked"
)

// MembershipFact is what the audit chain says of it.
type MembershipFact struct {
	Node   api.NodeID `json:"node_id,omitempty"`
	Force  bool       `json:"force,omitempty"`
	Reason string     `json:"reason,omitempty"`
}

// Kind returns KindNoteMembership.
func (NoteMembership) Kind() Kind { return KindNoteMembership }

func (c NoteMembership) idem() Idem { return c.Idem }

// apply leaves the record.
func (c NoteMembership) apply(s *State) (Result, *api.Error) {
	if p := first(checkText("actor", c.Actor, maxActor), checkText("node id", string(c.Node), maxID), checkText("reason", c.Reason, maxReason)); p != nil {
		return Result{}, p
	}
	if c.Change != RaftTransfer && c.Change != RaftRemove {
		return Result{}, api.Refuse(api.InvalidArgument, "%q is no change of the Raft group", c.Change)
	}
	s.audit(string(c.Change), c.Actor, subject{}, MembershipFact{Node: c.Node, Force: c.Force, Reason: c.Reason})
	return Result{}, nil
}
