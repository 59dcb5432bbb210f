package cli

import (
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/cmd/grafos/internal/ui"
)

func runsView(p *ui.Page, runs []api.Run, now time.Time) {
	t := ui.Table{Header: []string{"RUN", "TASKLET", "STATE", "EXIT", "TENANT", "CELL", "TOOK", "AGE"}}
	if p.Wide {
		t.Header = append(t.Header, "PROVIDER", "ATTEMPT", "FUEL", "MODULE", "FINAL", "FAILURE")
	}
	// The newest first; the document keeps the order of the API, which pages by id.
	newest := slices.Clone(runs)
	slices.SortStableFunc(newest, func(a, b api.Run) int { return b.CreatedAt.Compare(a.CreatedAt) })
	for _, r := range newest {
		p.Name(string(r.ID))
		row := []ui.Cell{
			ui.ID(r.ID), ui.T(dash(r.Tasklet)), ui.ID(r.State).In(runStyle(r.State)), exitCell(r),
			ui.ID(r.Tenant), orDash(string(r.CellID)), tookCell(r), ui.Age(now, r.CreatedAt),
		}
		if p.Wide {
			row = append(row, ui.ID(r.Provider), ui.ID(strconv.Itoa(r.Attempt)),
				ui.ID(strconv.FormatInt(r.FuelUsed, 10)), shortDigest(r.Module), yesNo(r.Finalised), orDash(string(r.Failure.Kind)))
		}
		t.Row(row...)
	}
	emptyNote(p, len(runs), "no runs")
	p.Table(t)
}

func dash(text string) string {
	if text == "" {
		return "-"
	}
	return text
}

func exitCell(r api.Run) ui.Cell {
	// A program that was stopped has not exited: its 0 would read as a success.
	if !r.State.Terminal() || r.State != api.RunSucceeded && r.ExitCode == 0 {
		return ui.V("-", "-")
	}
	return ui.ID(strconv.Itoa(r.ExitCode))
}

func tookCell(r api.Run) ui.Cell {
	if !r.State.Terminal() {
		return ui.V("-", "-")
	}
	return ui.V(ui.Duration(time.Duration(r.DurationMs)*time.Millisecond), strconv.FormatInt(r.DurationMs, 10))
}

func runView(p *ui.Page, r api.RunAnswer, now time.Time) {
	p.Name(string(r.ID))
	attempt := strconv.Itoa(r.Attempt)
	p.Fields(
		ui.F("run", ui.ID(r.ID).In(ui.Bold)),
		ui.F("state", ui.ID(r.State).In(runStyle(r.State))),
		ui.F("failure", ui.ID(failureText(r.Failure))),
		ui.F("exit code", exitCell(r.Run)),
		ui.F("tasklet", ui.T(r.Tasklet)),
		ui.F("profile", ui.ID(r.Profile)),
		ui.F("module", ui.ID(r.Module)),
		ui.F("tenant", ui.ID(r.Tenant)),
		ui.F("provider", ui.ID(r.Provider)),
		ui.F("cell", ui.ID(r.CellID)),
		ui.F("attempt", ui.V(fmt.Sprintf("%s of %d", attempt, r.Retries+1), attempt)),
		ui.F("created", ui.Stamp(now, r.CreatedAt)),
		ui.F("started", ui.Stamp(now, r.StartedAt)),
		ui.F("finished", ui.Stamp(now, r.FinishedAt)),
		ui.F("took", tookCell(r.Run)),
		ui.F("fuel used", ui.ID(strconv.FormatInt(r.FuelUsed, 10))),
		ui.F("network", networkCell(r.Net)),
		ui.F("final", yesNo(r.Finalised)),
	)
	if !p.Terminal {
		return
	}
	if len(r.Leases) > 0 {
		p.Gap()
		t := ui.Table{Header: []string{"LEASE", "KIND", "AMOUNT", "STATE", "ENDS"}}
		for _, l := range r.Leases {
			t.Row(ui.ID(l.ID), ui.ID(l.Kind), ui.AmountCell(l.Kind, l.Amount), ui.ID(l.State).In(leaseStyle(l.State)), ends(l, now))
		}
		p.Table(t)
	}
	if len(r.Artifacts) > 0 {
		p.Gap()
		p.Table(artifactTable(documents(r.Artifacts)))
	}
}

// networkCell is what went through a run's net lease.
func networkCell(n *api.NetUsage) ui.Cell {
	if n == nil {
		return ui.ID("")
	}
	return ui.T(fmt.Sprintf("%s out, %s in, %d connections, %d denied", api.FormatSize(n.BytesOut), api.FormatSize(n.BytesIn), n.Flows, n.Denied))
}

func failureText(f api.Failure) string {
	if f.Kind == "" {
		return ""
	}
	return string(f.Kind) + ": " + f.Message
}

func documents(artifacts []api.Artifact) []artifactDocument {
	docs := make([]artifactDocument, len(artifacts))
	for i, a := range artifacts {
		docs[i].Artifact = a
	}
	return docs
}

// detachedView is what deploy run prints when it does not wait: the id, for a script to keep.
func detachedView(p *ui.Page, r api.Run, dryRun bool) {
	p.Name(string(r.ID))
	if dryRun {
		p.Text(fmt.Sprintf("would run on %s", dash(string(r.CellID))))
		return
	}
	p.Text(string(r.ID))
}

func artifactsView(p *ui.Page, artifacts []artifactDocument) {
	for _, a := range artifacts {
		p.Name(a.Name)
	}
	emptyNote(p, len(artifacts), "no artifacts yet")
	p.Table(artifactTable(artifacts))
}

func artifactTable(artifacts []artifactDocument) ui.Table {
	t := ui.Table{Header: []string{"ARTIFACT", "SIZE", "DIGEST"}}
	saved := len(artifacts) > 0 && artifacts[0].Path != ""
	if saved {
		t.Header = append(t.Header, "WRITTEN TO")
	}
	for _, a := range artifacts {
		row := []ui.Cell{ui.ID(a.Name), ui.V(api.FormatSize(a.Size), strconv.FormatInt(a.Size, 10)), shortDigest(a.Digest)}
		if saved {
			row = append(row, ui.ID(a.Path))
		}
		t.Row(row...)
	}
	return t
}
