package cli

import (
	"strings"
	"testing"

	"github.com/grafos/grafos/api"
)

// TestOutOfService: a cell that meets all six requirements and takes no work says why, and what ends it: on a
// terminal, wide or not, and in a pipe.
func TestOutOfService(t *testing.T) {
	for mode, tc := range map[api.CellMode]struct {
		state api.CellState
		until string
	}{
		api.ModeDraining:    {api.CellDraining, "until its last one has ended, or: grafos fabric undrain aws-1"},
		api.ModeDrained:     {api.CellDrained, "until: grafos fabric undrain aws-1"},
		api.ModeMaintenance: {api.CellMaintenance, "until: grafos fabric undrain aws-1"},
		api.ModeReturning:   {api.CellWarming, "until it is ready and the warm-up has passed since it was undrained"},
		api.ModeAccepting:   {api.CellDraining, "revoking: it takes no lease any more"},
	} {
		for _, columns := range []string{"", "110", "200"} {
			r := newRig(t)
			r.env["GRAFOS_FORCE_TTY"] = columns
			r.cells[0].Mode, r.cells[0].State = mode, tc.state
			status := r.run("provider", "status", "aws").out
			if columns != "" {
				tc.until = strings.TrimPrefix(tc.until, "revoking: ")
				if !strings.Contains(status, "· no ready cell takes work\n") || !strings.Contains(status, "\nOut of service\n  aws-1 ") {
					t.Errorf("%s, %q columns:\n%s", mode, columns, status)
				}
			}
			if !strings.Contains(status, tc.until) {
				t.Errorf("%s, %q columns: provider status does not say what ends it:\n%s", mode, columns, status)
			}
			says := tc.until
			if columns == "110" {
				says = strings.ReplaceAll(string(mode), "accepting", "revoking")
			}
			if list := r.run("fabric", "cells").out; !strings.Contains(list, says) {
				t.Errorf("%s, %q columns: fabric cells does not say %q:\n%s", mode, columns, says, list)
			}
		}
	}
}
