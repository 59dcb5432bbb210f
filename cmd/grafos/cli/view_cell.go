package cli

import (
	"strconv"
	"strings"
	"time"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/cmd/grafos/internal/ui"
)

func cellsView(p *ui.Page, cells []api.Cell, now time.Time) {
	t := ui.Table{Sparse: true, Header: []string{"CELL", "PROVIDER", "STATE", "READY", "ZONE", "CPU FREE", "MEM FREE", "GPU FREE", "LEASES", "SEEN", "WHY NOT"}}
	if p.Wide {
		t.Header = append(t.Header, "BLOCK FREE", "NET FREE", "OVERCOMMIT", "RACK", "VERSION", "SESSION", "EPOCH", "CERT ENDS", "CONFORMANCE", "ATTESTED", "DATA PLANE")
	}
	for _, c := range cells {
		p.Name(string(c.CellID))
		row := []ui.Cell{
			ui.ID(c.CellID), ui.ID(c.Provider), ui.ID(c.State).In(cellStyle(c.State)), readyCount(c),
			orDash(c.Inventory.Zone),
			ui.Share(api.KindCPU, c.Free.CPU, c.Capacity.CPU),
			ui.Share(api.KindMem, c.Free.Mem, c.Capacity.Mem),
			ui.Share(api.KindGPU, c.Free.GPU, c.Capacity.GPU),
			ui.ID(strconv.Itoa(c.Leases)), ui.Age(now, c.LastSeen), whyCell(p, c),
		}
		if p.Wide {
			row = append(row,
				ui.Share(api.KindBlock, c.Free.Block, c.Capacity.Block), ui.Share(api.KindNet, c.Free.Net, c.Capacity.Net),
				orDash(kinds(c.Inventory.Overcommit)), orDash(c.Inventory.Rack), orDash(c.Version), orDash(string(c.Session)),
				ui.ID(strconv.FormatUint(c.Epoch, 10)), ui.Until(now, c.NotAfter), orDash(c.Conformance), orDash(attested(c.Attestation)), orDash(c.DataURL))
		}
		t.Row(row...)
	}
	emptyNote(p, len(cells), "no cell has registered yet")
	p.Table(t)
}

// attested is whose instance a cell's host is, as its cloud says; "" is that no cloud said anything.
func attested(e *api.Evidence) string {
	if e == nil {
		return ""
	}
	return string(e.Kind) + "/" + e.Account + "/" + e.Instance
}

// whyWidth is the least width at which the reasons have room as sentences; below it they
// are their codes.
const whyWidth = 150

func whyCell(p *ui.Page, c api.Cell) ui.Cell {
	whole := whyNot(c)
	mode, _ := outOfService(c)
	if p.Wide || p.Width >= whyWidth || len(c.Reasons) == 0 && mode == "" {
		return ui.Cell{Text: whole}
	}
	var codes []string
	for _, r := range c.Reasons {
		codes = append(codes, r.Code)
	}
	if mode != "" {
		codes = append(codes, mode)
	}
	return ui.Cell{Text: strings.Join(codes, "; "), Raw: whole}
}

// unproven says what a cell that is ready has to do before it takes leases, if anything.
func unproven(c api.Cell) string {
	switch {
	case !c.Production || c.Conformance == api.ConformancePassed:
		return ""
	case c.Conformance == api.ConformanceFailed:
		return "not_conformant: it is marked production and failed the conformance suite"
	}
	return "not_conformant: it is marked production: grafos conformance run " + string(c.Provider) + " " + string(c.CellID)
}

// outOfService is the mode of a cell that somebody took out of service, and what ends it; a cell may meet all
// six requirements and take no work. "" is that nobody did.
func outOfService(c api.Cell) (mode, until string) {
	undrain := "grafos fabric undrain " + string(c.CellID)
	switch {
	case c.State == api.CellRevoked:
		return "", "" // for ever, as its state says
	case c.Mode == api.ModeReturning:
		return string(c.Mode), "until it is ready and the warm-up has passed since it was undrained"
	case c.Mode == api.ModeDraining:
		return string(c.Mode), "it takes no new lease; until its last one has ended, or: " + undrain
	case !c.Mode.Takes():
		return string(c.Mode), "until: " + undrain
	case c.State == api.CellDraining:
		return "revoking", "it takes no lease any more"
	}
	return "", ""
}

// takesWork reports whether a cell takes new leases, where there is room.
func takesWork(c api.Cell) bool {
	mode, _ := outOfService(c)
	return c.Ready && c.State != api.CellRevoked && mode == ""
}

// whyNot is every reason of a cell on one line, the requirement where none is told.
func whyNot(c api.Cell) string {
	var why []string
	for _, r := range c.Reasons {
		why = append(why, string(r.Requirement)+": "+r.Message)
	}
	if len(why) == 0 {
		for _, q := range c.Readiness.Unmet() {
			why = append(why, string(q))
		}
	}
	if mode, until := outOfService(c); mode != "" {
		why = append(why, mode+": "+until)
	}
	if text := unproven(c); c.Ready && text != "" {
		why = append(why, text)
	}
	return strings.Join(why, "; ")
}

// kinds lists kinds, and nothing for none.
func kinds(list []api.LeaseKind) string {
	names := make([]string, len(list))
	for i, k := range list {
		names[i] = string(k)
	}
	return strings.Join(names, ",")
}
