package cli

import (
	"fmt"
	"strings"
	"time"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/cmd/grafos/internal/ui"
)

func pad(text string, width int) string { return fmt.Sprintf("%-*s", width, text) }

// shortDigest is the beginning of a digest, enough to tell two modules apart.
func shortDigest(d api.Digest) ui.Cell {
	const shown = 12
	hex := strings.TrimPrefix(string(d), "sha256:")
	if len(hex) <= shown {
		return ui.ID(d)
	}
	return ui.V(hex[:shown], string(d))
}

func orDash(text string) ui.Cell {
	if text == "" {
		return ui.V("-", "-")
	}
	return ui.ID(text)
}

func yesNo(yes bool) ui.Cell {
	if yes {
		return ui.V("yes", "true")
	}
	return ui.V("no", "false")
}

// leaseStyle, runStyle, cellStyle and readinessStyle are the colours of the states: good
// is working, warn is ending or half there, bad needs a look.
func leaseStyle(s api.LeaseState) ui.Style {
	switch s {
	case api.LeaseActive:
		return ui.Good
	case api.LeaseRevokeWarning, api.LeaseGraceRunning, api.LeaseCheckpoint, api.LeaseForcedTeardown, api.LeaseExpired:
		return ui.Warn
	case api.LeaseTornDown:
		return ui.Dim
	case api.LeaseFenced, api.LeaseFailedClosed:
		return ui.Bad
	}
	return ui.Plain
}

func runStyle(s api.RunState) ui.Style {
	switch s {
	case api.RunAdmitted, api.RunPlaced, api.RunRunning:
		return ui.Warn
	case api.RunSucceeded:
		return ui.Good
	case api.RunFailed, api.RunExpired, api.RunRevoked, api.RunLost:
		return ui.Bad
	}
	return ui.Plain
}

func cellStyle(s api.CellState) ui.Style {
	switch s {
	case api.CellReady:
		return ui.Good
	case api.CellRegistered, api.CellWarming, api.CellDraining, api.CellDrained, api.CellMaintenance:
		return ui.Warn
	case api.CellUnhealthy, api.CellRevoked:
		return ui.Bad
	}
	return ui.Plain
}

func readinessStyle(r api.RuntimeReadiness) ui.Style {
	switch r {
	case api.ProviderReady:
		return ui.Good
	case api.ProviderDegraded:
		return ui.Warn
	case api.ProviderNotReady:
		return ui.Bad
	case api.ProviderDisabled:
		return ui.Dim
	}
	return ui.Plain
}

// ends is when a lease ends, or ended. Where its end has begun, its deadline does not say
// when: a person is told that it is now, or in its grace.
func ends(l api.Lease, now time.Time) ui.Cell {
	if l.State.Terminal() {
		return ui.Past(now, l.EndedAt)
	}
	c := ui.Until(now, l.ExpiresAt)
	switch l.State {
	case api.LeaseForcedTeardown, api.LeaseExpired:
		c.Text = "now"
	case api.LeaseRevokeWarning, api.LeaseGraceRunning, api.LeaseCheckpoint:
		c.Text = "after its grace"
		if at := l.ForcedAt(); !at.IsZero() {
			c = ui.Until(now, at)
		}
	case api.LeaseActive, api.LeaseTornDown, api.LeaseFenced, api.LeaseFailedClosed:
	}
	return c
}
