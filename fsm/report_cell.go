package fsm

import "github.com/grafos/grafos/api"

// ReportCell is a command.
type ReportCell struct {
	Cell      api.CellID           `json:"cell_id"`
	Epoch     uint64               `json:"cell_epoch"`
	Inventory *api.InventoryReport `json:"inventory,omitempty"`
	Bound     []api.BoundReport    `json:"bound,omitempty"`
	Ended     []api.EndedReport    `json:"ended,omitempty"`
	Runs      []api.RunReport      `json:"runs,omitempty"`
}

// Kind returns KindReportCell.
func (ReportCell) Kind() Kind { return KindReportCell }

func (c ReportCell) apply(*State) (Result, *api.Error) { return Result{}, nil }
