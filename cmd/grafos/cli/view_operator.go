package cli

import (
	"fmt"
	"strconv"
	"time"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/cmd/grafos/internal/ui"
)

func membersView(p *ui.Page, list api.RaftMembers, now time.Time) {
	voters := 0
	t := ui.Table{Sparse: true, Header: []string{"ID", "ADDRESS", "ROLE", "VOTE", "HEALTHY", "FOR", "CONTACT", "APPLIED", "VERSION", "LEVEL"}}
	if p.Wide {
		t.Header = append(t.Header, "LAST INDEX", "BEHIND", "URL")
	}
	for _, m := range list.Members {
		p.Name(string(m.Node))
		if m.Voter {
			voters++
		}
		row := []ui.Cell{
			ui.ID(m.Node), ui.ID(m.Address), memberRole(m), yesNo(m.Voter), healthCell(m.Healthy), ui.Age(now, m.Since),
			contactCell(m.LastContactMs), number(m.Applied), orDash(m.Version), number(uint64(m.Level)),
		}
		if p.Wide {
			row = append(row, number(m.LastIndex), ui.ID(strconv.Itoa(m.Behind)), orDash(m.URL))
		}
		t.Row(row...)
	}
	p.Table(t)
	p.Line(ui.Span{Text: fmt.Sprintf("%d of %d wanted voters; %s tolerated; feature level %d", voters, list.Wanted, ui.Count(list.Tolerates, "failure"), list.Level), Style: ui.Dim})
	if list.Differs != "" {
		p.Line(ui.Span{Text: "✗ " + list.Differs, Style: ui.Bad})
	}
}

func memberRole(m api.RaftMember) ui.Cell {
	switch m.Role {
	case "":
		return ui.V("down", "down").In(ui.Bad)
	case "leader":
		return ui.ID(m.Role).In(ui.Good)
	}
	return ui.ID(m.Role)
}

func healthCell(well bool) ui.Cell {
	if well {
		return yesNo(true).In(ui.Good)
	}
	return yesNo(false).In(ui.Bad)
}

func contactCell(ms int64) ui.Cell {
	if ms < 0 {
		return ui.V("never", "-1")
	}
	return ui.V(ui.Duration(time.Duration(ms)*time.Millisecond), strconv.FormatInt(ms, 10))
}

func number(n uint64) ui.Cell { return ui.ID(strconv.FormatUint(n, 10)) }
