package cellagent

import (
	"reflect"
	"strings"
	"testing"

	"github.com/grafos/grafos/api"
)

// offerHost is what a host of the tests has.
func offerHost() api.Inventory {
	return api.Inventory{
		TotalCPU: 4, TotalMem: 8 << 30, TotalBlock: 1 << 40, NICCount: 2, TotalNet: 1e9, GPUCount: 3,
		GPUs: []api.GPU{{Model: "NVIDIA GH100 [H100 PCIe]", Address: "1"}, {Model: "NVIDIA GA100 [A100]", Address: "2"}, {Model: "NVIDIA GH100 [H100 PCIe]", Address: "3"}},
	}
}

func TestOffer(t *testing.T) {
	host := offerHost()
	virtual := host
	virtual.TotalNet = 0
	bare := virtual
	bare.NICCount = 0
	tests := map[string]struct {
		host  api.Inventory
		offer Offer
		block int64
		// refused is a part of what is said without overcommit; over is what is shown with it.
		refused string
		over    []api.LeaseKind
		change  func(*api.Inventory) // from the host, with overcommit
	}{
		"nothing":      {host: host},
		"less":         {host: host, offer: Offer{CPU: 1000, Mem: 1 << 20, Net: 1000}, change: func(i *api.Inventory) { i.TotalCPU, i.TotalMem, i.TotalNet = 1, 1<<20, 1000 }},
		"all of it":    {host: host, offer: Offer{CPU: 4000, Mem: 8 << 30, Net: 1e9}, block: 1 << 40},
		"cpu":          {host: host, offer: Offer{CPU: 5000}, refused: "--cpu offers 5000 millicores, the host has 4000", over: []api.LeaseKind{"cpu"}, change: func(i *api.Inventory) { i.TotalCPU = 5 }},
		"mem":          {host: host, offer: Offer{Mem: 9 << 30}, refused: "--mem offers 9663676416 bytes (9 GiB), the host has 8589934592", over: []api.LeaseKind{"mem"}, change: func(i *api.Inventory) { i.TotalMem = 9 << 30 }},
		"block":        {host: host, block: 1<<40 + 512, refused: "--block offers", over: []api.LeaseKind{"block"}},
		"net":          {host: host, offer: Offer{Net: 1e9 + 1}, refused: "--net offers 1000000001 bits/s, the host has 1000000000", over: []api.LeaseKind{"net"}, change: func(i *api.Inventory) { i.TotalNet = 1e9 + 1 }},
		"unknown link": {host: virtual, offer: Offer{Net: 5e9}, change: func(i *api.Inventory) { i.TotalNet = 5e9 }},
		"no card":      {host: bare, offer: Offer{Net: 1}, refused: "--net offers 1 bits/s, the host has 0", over: []api.LeaseKind{"net"}, change: func(i *api.Inventory) { i.TotalNet = 1 }},
		"one gpu": {host: host, offer: Offer{GPUs: []string{"a100"}}, change: func(i *api.Inventory) {
			i.GPUs, i.GPUCount = host.GPUs[1:2], 1
		}},
		"no gpu": {host: host, offer: Offer{GPUs: []string{}}, change: func(i *api.Inventory) { i.GPUs, i.GPUCount = []api.GPU{}, 0 }},
		"each name finds its device": {host: host, offer: Offer{GPUs: []string{"nvidia", "h100", "H100"}}, change: func(i *api.Inventory) {
			i.GPUs = []api.GPU{host.GPUs[1], host.GPUs[2], host.GPUs[0]}
		}},
		"too many": {host: host, offer: Offer{GPUs: []string{"h100", "h100", "h100"}}, refused: "--gpu offers h100, the host has NVIDIA GH100", over: []api.LeaseKind{"gpu"}, change: func(i *api.Inventory) {
			i.GPUs = []api.GPU{host.GPUs[0], host.GPUs[2], {Model: "h100"}}
		}},
		"two":  {host: bare, offer: Offer{CPU: 9000, Net: 9}, refused: "; --net", over: []api.LeaseKind{"cpu", "net"}, change: func(i *api.Inventory) { i.TotalCPU, i.TotalNet = 9, 9 }},
		"none": {host: api.Inventory{GPUs: []api.GPU{}}, offer: Offer{GPUs: []string{"h100"}}, refused: "--gpu offers h100, the host has none", over: []api.LeaseKind{"gpu"}, change: func(i *api.Inventory) { i.GPUs, i.GPUCount = []api.GPU{{Model: "h100"}}, 1 }},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			err := tt.offer.check(tt.host, tt.block)
			switch {
			case (err != nil) != (tt.refused != ""):
				t.Errorf("without overcommit: %v", err)
			case err != nil && (api.KindOf(err) != api.InvalidArgument || !strings.Contains(err.Error(), tt.refused) || !strings.Contains(api.Problem(err).Hint, "--allow-overcommit")):
				t.Errorf("refused with %v, hint %q", err, api.Problem(err).Hint)
			}
			tt.offer.Overcommit = true
			if err := tt.offer.check(tt.host, tt.block); err != nil {
				t.Errorf("with overcommit: %v", err)
			}
			want := tt.host
			if tt.change != nil {
				tt.change(&want)
			}
			want.Overcommit = tt.over
			if got := tt.offer.over(tt.host, tt.block); !reflect.DeepEqual(got, want) {
				t.Errorf("with overcommit it is\n%+v, want\n%+v", got, want)
			}
		})
	}
}

// TestOfferShrinks: hardware that went away while the agent runs is not offered any more.
func TestOfferShrinks(t *testing.T) {
	o := Offer{CPU: 3000, Mem: 4 << 30, Net: 1e8, GPUs: []string{"h100", "h100"}}
	if err := o.check(offerHost(), 0); err != nil {
		t.Fatal(err)
	}
	less := api.Inventory{TotalCPU: 2, TotalMem: 1 << 30, NICCount: 1, TotalNet: 1e7, GPUCount: 1, GPUs: offerHost().GPUs[2:]}
	if got := o.over(less, 0); !reflect.DeepEqual(got, less) {
		t.Errorf("offered is %+v, want %+v", got, less)
	}
}

func TestOfferValidate(t *testing.T) {
	for name, o := range map[string]Offer{
		"part of a core": {CPU: 1500}, "negative": {Mem: -1}, "too much": {Net: api.MaxAmount + 1},
		"too many gpus": {GPUs: make([]string, gpusMost+1)}, "no name": {GPUs: []string{""}},
		"long name": {GPUs: []string{strings.Repeat("x", gpuNameMost+1)}}, "line": {GPUs: []string{"a\nb"}},
	} {
		if err := o.validate(); err == nil {
			t.Errorf("%s: nothing is refused", name)
		}
	}
	if err := (Offer{CPU: 2000, GPUs: []string{"h100"}}).validate(); err != nil {
		t.Error(err)
	}
}

// TestReserve: a cell that keeps more than it has would be ready and take nothing.
func TestReserve(t *testing.T) {
	for name, tt := range map[string]struct {
		offer   Offer
		reserve api.Resources
		refused string
	}{
		"nothing":          {},
		"some":             {reserve: api.Resources{CPU: 500, Mem: 1 << 30}},
		"all":              {reserve: api.Resources{CPU: 4000, Mem: 8 << 30}},
		"mem":              {reserve: api.Resources{Mem: 8<<30 + 1}, refused: "--reserve-mem keeps 8589934593 bytes"},
		"cpu":              {reserve: api.Resources{CPU: 4001}, refused: "--reserve-cpu keeps 4001 millicores, and the cell has 4000"},
		"of what is given": {offer: Offer{Mem: 1 << 30}, reserve: api.Resources{Mem: 2 << 30}, refused: "the cell has 1073741824 bytes (1 GiB)"},
		"of more than all": {offer: Offer{Mem: 16 << 30, Overcommit: true}, reserve: api.Resources{Mem: 9 << 30}},
	} {
		t.Run(name, func(t *testing.T) {
			err := checkReserve(tt.offer.over(offerHost(), 0), tt.reserve)
			if (err != nil) != (tt.refused != "") {
				t.Fatal(err)
			}
			if p := api.Problem(err); err != nil && (p.Kind != api.InvalidArgument || !strings.Contains(p.Detail, tt.refused) || p.Hint == "") {
				t.Errorf("%v, hint %q", err, p.Hint)
			}
		})
	}
}
