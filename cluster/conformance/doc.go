// Package conformance proves a cell: it leases a little of every kind that the cell offers, uses it as
// its tenant would, over the cell's own data plane and through a scheduler, renews it, leaves it to
// expire, revokes it, and shows the cell tokens that it has to refuse.
//
// What a check finds is the cell's doing or it is no finding: where this scheduler stops leading, or has
// nothing to give on the cell, the suite ends without a result.
package conformance
