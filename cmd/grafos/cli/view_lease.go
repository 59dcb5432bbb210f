package cli

import (
	"slices"
	"strconv"
	"time"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/cmd/grafos/internal/ui"
)

func leasesView(p *ui.Page, leases []api.Lease, now time.Time) {
	t := ui.Table{Sparse: true, Header: []string{"LEASE", "KIND", "AMOUNT", "STATE", "TENANT", "CELL", "RUN", "ENDS"}}
	if p.Wide {
		t.Header = append(t.Header, "PROVIDER", "PRIORITY", "GENERATION", "EPOCH", "REASON", "GRANTED", "COORDINATE")
	}
	// The newest first; the document keeps the order of the API, which pages by id.
	newest := slices.Clone(leases)
	slices.SortStableFunc(newest, func(a, b api.Lease) int { return b.GrantedAt.Compare(a.GrantedAt) })
	for _, l := range newest {
		p.Name(string(l.ID))
		row := []ui.Cell{
			ui.ID(l.ID), ui.ID(l.Kind), ui.AmountCell(l.Kind, l.Amount), ui.ID(l.State).In(leaseStyle(l.State)),
			ui.ID(l.Tenant), ui.ID(l.CellID), orDash(string(l.RunID)), ends(l, now),
		}
		if p.Wide {
			row = append(row, ui.ID(l.Provider), ui.ID(l.Priority),
				ui.ID(strconv.FormatUint(l.Generation, 10)), ui.ID(strconv.FormatUint(l.Epoch, 10)),
				orDash(l.Reason), ui.Age(now, l.GrantedAt), orDash(l.Coordinate))
		}
		t.Row(row...)
	}
	emptyNote(p, len(leases), "no leases")
	p.Table(t)
}

// fencesView is the leases whose resource is quarantined.
func fencesView(p *ui.Page, leases []api.Lease, now time.Time) {
	t := ui.Table{Sparse: true, Header: []string{"LEASE", "KIND", "AMOUNT", "CELL", "TENANT", "FENCED", "REASON"}}
	for _, l := range leases {
		p.Name(string(l.ID))
		t.Row(ui.ID(l.ID), ui.ID(l.Kind), ui.AmountCell(l.Kind, l.Amount), ui.ID(l.CellID), ui.ID(l.Tenant), ui.Age(now, l.EndedAt), orDash(l.Reason))
	}
	emptyNote(p, len(leases), "no fenced leases")
	p.Table(t)
}

// grantsView is the answer to a request. Tokens are not for a screen: they are in the JSON
// answer, and lease token gets a fresh one.
func grantsView(p *ui.Page, set api.GrantSet, now time.Time) {
	t := ui.Table{Header: []string{"LEASE", "KIND", "AMOUNT", "CELL", "ENDS", "COORDINATE"}}
	for _, g := range set.Leases {
		p.Name(string(g.ID))
		t.Row(ui.ID(g.ID), ui.ID(g.Kind), ui.AmountCell(g.Kind, g.Amount), ui.ID(g.CellID), ends(g.Lease, now), orDash(g.Coordinate))
	}
	p.Table(t)
}

func leaseView(p *ui.Page, g api.Grant, now time.Time) {
	l := g.Lease
	p.Name(string(l.ID))
	ended := "expires"
	when := l.ExpiresAt
	if l.State.Terminal() {
		ended, when = "ended", l.EndedAt
	}
	fields := []ui.Field{
		ui.F("lease", ui.ID(l.ID).In(ui.Bold)),
		ui.F("state", ui.ID(l.State).In(leaseStyle(l.State))),
		ui.F("reason", ui.T(l.Reason)),
		ui.F("kind", ui.ID(l.Kind)),
		ui.F("use", ui.ID(l.Use)),
		ui.F("amount", ui.AmountCell(l.Kind, l.Amount)),
		ui.F("cpu tier", ui.ID(l.CPUTier())),
		ui.F("tenant", ui.ID(l.Tenant)),
		ui.F("holder", ui.ID(l.Holder)),
		ui.F("provider", ui.ID(l.Provider)),
		ui.F("cell", ui.ID(l.CellID)),
		ui.F("run", ui.ID(l.RunID)),
		ui.F("priority", ui.ID(l.Priority)),
		ui.F("ttl", ui.V(ui.Duration(l.TTL()), strconv.FormatInt(l.TTLMs, 10))),
		ui.F("granted", ui.Stamp(now, l.GrantedAt)),
		ui.F("bound", ui.Stamp(now, l.BoundAt)),
		ui.F(ended, ui.Stamp(now, when)),
		ui.F("generation", ui.ID(strconv.FormatUint(l.Generation, 10))),
		ui.F("epoch", ui.ID(strconv.FormatUint(l.Epoch, 10))),
		ui.F("coordinate", ui.ID(l.Coordinate)),
	}
	fields = append(fields, gpuFields(&l)...)
	if at := l.ForcedAt(); l.State.Usable() && !at.IsZero() {
		fields = append(fields, ui.F("forced down", ui.Stamp(now, at)))
	}
	if !l.UnfencedAt.IsZero() {
		fields = append(fields, ui.F("unfenced", ui.Stamp(now, l.UnfencedAt)))
	}
	p.Fields(fields...)
}
