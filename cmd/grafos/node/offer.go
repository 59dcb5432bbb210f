package node

import (
	"context"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/grafos/grafos/cellagent"
)

// offerSettings are what a cell offers in place of what its host has.
type offerSettings struct {
	CPU             int64    `toml:"cpu"`
	Mem             string   `toml:"mem"`
	Net             string   `toml:"net"`
	GPU             []string `toml:"gpu"`
	AllowOvercommit bool     `toml:"allow_overcommit"`
}

// noGPU is the list of models of a cell that is to offer none.
const noGPU = "none"

func (s *offerSettings) addOffer(cmd *cobra.Command) {
	f := cmd.Flags()
	f.Int64Var(&s.CPU, "cpu", 0, "millicores offered, of whole cores (default: the host's)")
	f.StringVar(&s.Mem, "mem", "0", "memory offered; 0 is the host's")
	f.StringVar(&s.Net, "net", "0", "bits per second offered; 0 is what the host's network cards say, which in a virtual machine is nothing")
	f.StringSliceVar(&s.GPU, "gpu", nil, "gpus offered, each by a part of its model's name, such as h100,h100; "+noGPU+" is none (default: the host's)")
	f.BoolVar(&s.AllowOvercommit, "allow-overcommit", false, "offer more than the host has: what is leased then is not all there")
}

// offer reads the amounts.
func (s *offerSettings) offer() (cellagent.Offer, error) {
	o := cellagent.Offer{CPU: s.CPU, GPUs: s.GPU, Overcommit: s.AllowOvercommit}
	if len(s.GPU) == 0 {
		o.GPUs = nil
	}
	if len(s.GPU) == 1 && s.GPU[0] == noGPU {
		o.GPUs = []string{}
	}
	var err error
	if o.Mem, err = sizeOf("mem", s.Mem); err == nil {
		o.Net, err = sizeOf("net", s.Net)
	}
	return o, err
}

// check refuses early what no agent on this host would start with.
func (s *offerSettings) check(ctx context.Context) error {
	o, err := s.offer()
	if err != nil || len(s.args()) == 0 {
		return err
	}
	return o.Check(ctx, "/")
}

// args are the flags that say the same to a cell agent.
func (s *offerSettings) args() []string {
	var args []string
	if s.CPU != 0 {
		args = append(args, "--cpu", strconv.FormatInt(s.CPU, 10))
	}
	if s.Mem != "0" {
		args = append(args, "--mem", s.Mem)
	}
	if s.Net != "0" {
		args = append(args, "--net", s.Net)
	}
	if len(s.GPU) > 0 {
		args = append(args, "--gpu", strings.Join(s.GPU, ","))
	}
	if s.AllowOvercommit {
		args = append(args, "--allow-overcommit")
	}
	return args
}
