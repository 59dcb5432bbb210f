package cellagent

import (
	"context"
	"errors"
	"testing"

	"github.com/hashicorp/go-hclog"

	"github.com/grafos/grafos/api"
)

func TestLinkSpeed(t *testing.T) {
	tests := map[string]int64{
		"1000": 1e9, "1000Mb/s": 1e9, "10Gb/s": 1e10, " 2500\n": 25e8, "-1": 0, "": 0, "Unknown!": 0, "100Kb/s": 1e5,
		"9223372036854775807": 0,
	}
	for in, want := range tests {
		if got := linkSpeed(in); got != want {
			t.Errorf("linkSpeed(%q) = %d, want %d", in, got, want)
		}
	}
}

func TestCapacity(t *testing.T) {
	inv := api.Inventory{TotalCPU: 4, TotalMem: 1000, TotalNet: 50, GPUCount: 1}
	if got, want := capacityOf(inv, api.Resources{CPU: 500, Mem: 2000, Net: 10}, 1000), (api.Resources{CPU: 3500, Block: 512, Net: 40, GPU: 1}); got != want {
		t.Errorf("capacity is %+v, want %+v", got, want)
	}
	if got, want := least(api.Resources{CPU: 1, Mem: 5}, api.Resources{CPU: 2, Mem: 3, Net: 9}), (api.Resources{CPU: 1, Mem: 3}); got != want {
		t.Errorf("least is %+v, want %+v", got, want)
	}
}

func TestSurveyReportsChanges(t *testing.T) {
	inv, fail := api.Inventory{TotalCPU: 1}, error(nil)
	s := &surveyor{
		probe:    func(context.Context) (api.Inventory, error) { return inv, fail },
		capacity: func(i api.Inventory) api.Resources { return api.Resources{CPU: i.TotalCPU} },
		outbox:   newOutbox(), log: hclog.NewNullLogger(),
	}
	said := func() bool {
		if err := s.survey(t.Context()); err != nil && fail == nil {
			t.Fatal(err)
		}
		r, carried := s.outbox.compose(10, bindAll)
		s.outbox.settle(carried)
		return r.Inventory != nil
	}
	if !said() || said() {
		t.Fatal("the first inventory is said once")
	}
	inv.TotalCPU = 2
	if !said() || said() {
		t.Fatal("a changed inventory is said once")
	}
	fail = errors.New("no /proc")
	if said() {
		t.Fatal("an inventory that was not read is said")
	}
	s.repeat()
	if r, _ := s.outbox.compose(10, bindAll); r.Inventory == nil || r.Inventory.Capacity.CPU != 2 {
		t.Fatal("it is not repeated")
	}
}

// TestOvercommitIsToldAgain: schedulers that could not keep it are told once an hour, and of other inventories
// nothing.
func TestOvercommitIsToldAgain(t *testing.T) {
	inv := api.Inventory{TotalCPU: 1}
	s := &surveyor{
		probe:    func(context.Context) (api.Inventory, error) { return inv, nil },
		capacity: func(api.Inventory) api.Resources { return api.Resources{} },
		outbox:   newOutbox(), log: hclog.NewNullLogger(),
	}
	told := func(looks int) (n int) {
		t.Helper()
		for range looks {
			if err := s.survey(t.Context()); err != nil {
				t.Fatal(err)
			}
			r, carried := s.outbox.compose(10, bindAll)
			s.outbox.settle(carried)
			if r.Inventory != nil {
				n++
			}
		}
		return n
	}
	if n := told(200); n != 1 {
		t.Errorf("an inventory is told %d times in 200 minutes, want once", n)
	}
	inv.Overcommit = []api.LeaseKind{api.KindCPU}
	if n := told(1 + 59); n != 1 {
		t.Errorf("an overcommitted one is told %d times in its first hour, want once", n)
	}
	if n := told(1); n != 1 {
		t.Errorf("it is told %d times after an hour, want once more", n)
	}
	if n := told(120); n != 2 {
		t.Errorf("it is told %d times in two hours, want twice", n)
	}
}

func TestConfigValidate(t *testing.T) {
	good := newRealConfig(t)
	if err := good.Validate(); err != nil {
		t.Fatal(err)
	}
	tests := map[string]func(*Config){
		"provider":    func(c *Config) { c.Provider = "No Name" },
		"cell":        func(c *Config) { c.CellID = "" },
		"cluster":     func(c *Config) { c.ClusterID = "" },
		"dir":         func(c *Config) { c.Dir = "relative" },
		"schedulers":  func(c *Config) { c.Schedulers = nil },
		"credential":  func(c *Config) { c.Credential = nil },
		"roots":       func(c *Config) { c.Roots = nil },
		"log":         func(c *Config) { c.Log = nil },
		"block":       func(c *Config) { c.BlockBytes = -1 },
		"reserve":     func(c *Config) { c.Reserve.Mem = -1 },
		"bind":        func(c *Config) { c.DataBind = "nowhere" },
		"advertise":   func(c *Config) { c.DataAdvertise = "host" },
		"unspecified": func(c *Config) { c.DataAdvertise = "0.0.0.0:7500" },
		"label":       func(c *Config) { c.Labels = map[string]string{"": "x"} },
	}
	for name, change := range tests {
		c := good
		change(&c)
		if err := c.Validate(); err == nil {
			t.Errorf("%s: nothing is refused", name)
		}
	}
}
