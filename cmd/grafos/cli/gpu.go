package cli

import (
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/cmd/grafos/internal/ui"
)

// gpuFlags say how gpus are had.
type gpuFlags struct {
	class string
	share string
}

func (f *gpuFlags) add(cmd *cobra.Command) {
	fs := cmd.Flags()
	fs.StringVar(&f.class, "gpu-class", "", "who else may use the gpus: shared (anybody), session_exclusive (the tenant's leases of this class), device_exclusive (nobody, the default)")
	fs.StringVar(&f.share, "gpu-share", "", "how much of each gpu, from 0.001 to 1 (default 1); needs --gpu-class shared or session_exclusive")
}

// terms reads them; nil is that they say nothing.
func (f *gpuFlags) terms(gpus int64) (*api.GPUTerms, error) {
	if f.class == "" && f.share == "" {
		return nil, nil //nolint:nilnil // nothing is no error
	}
	if gpus == 0 {
		return nil, api.Refuse(api.InvalidArgument, "--gpu-class and --gpu-share say how gpus are had, and none is asked for").WithHint("say how many: --gpu 1")
	}
	if f.class == "" {
		return nil, api.Refuse(api.InvalidArgument, "--gpu-share %s needs --gpu-class: who may have the rest", ui.Clean(f.share)).
			WithHint("shared is anybody, session_exclusive other leases of the same tenant")
	}
	g := &api.GPUTerms{Class: api.GPUClass(f.class)}
	if f.share == "" {
		return g, nil
	}
	var err error
	g.ShareMilli, err = api.ParseGPUShare(f.share)
	return g, err
}

// gpuFields are what a lease says of its gpus.
func gpuFields(l *api.Lease) []ui.Field {
	g := l.Terms.Devices()
	if g == nil {
		return nil
	}
	ordinals := make([]string, len(g.Devices))
	for i, o := range g.Devices {
		ordinals[i] = strconv.Itoa(o)
	}
	return []ui.Field{
		ui.F("gpus", ui.ID(strings.Join(ordinals, ","))),
		ui.F("gpu class", ui.ID(string(g.Class))),
		ui.F("gpu share", ui.ID(strconv.FormatFloat(float64(g.Share())/api.WholeGPU, 'g', -1, 64))),
	}
}
