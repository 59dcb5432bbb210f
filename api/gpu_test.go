package api

import (
	"slices"
	"testing"
)

func TestGPUDevices(t *testing.T) {
	terms := func(class GPUClass, share int64, devices ...int) *GPUTerms {
		return &GPUTerms{Class: class, ShareMilli: share, Devices: devices}
	}
	var none GPUUses
	shared := none.With("acme", terms(GPUShared, 600, 0), false, 1)
	session := none.With("acme", terms(GPUSessionExclusive, 400, 0), false, 1)
	alone := none.With("acme", terms(GPUDeviceExclusive, 0, 0), false, 1)
	for name, tt := range map[string]struct {
		on     GPUUses
		tenant TenantID
		ask    *GPUTerms
		ok     bool
	}{
		"free":                       {none, "acme", terms(GPUDeviceExclusive, 0, 0), true},
		"no such device":             {none, "acme", terms(GPUShared, 1, 2), false},
		"shared fits":                {shared, "other", terms(GPUShared, 400, 0), true},
		"shared is full":             {shared, "other", terms(GPUShared, 401, 0), false},
		"a whole shared one":         {shared, "other", terms(GPUShared, 0, 0), false},
		"session on shared":          {shared, "acme", terms(GPUSessionExclusive, 1, 0), false},
		"alone on shared":            {shared, "acme", terms(GPUDeviceExclusive, 0, 0), false},
		"same session":               {session, "acme", terms(GPUSessionExclusive, 600, 0), true},
		"same session is full":       {session, "acme", terms(GPUSessionExclusive, 601, 0), false},
		"another session":            {session, "other", terms(GPUSessionExclusive, 1, 0), false},
		"shared on session":          {session, "acme", terms(GPUShared, 1, 0), false},
		"on one that somebody has":   {alone, "acme", terms(GPUDeviceExclusive, 0, 0), false},
		"shared on an exclusive":     {alone, "acme", terms(GPUShared, 1, 0), false},
		"beside one":                 {alone, "acme", terms(GPUShared, 1, 1), true},
		"one of two is not possible": {alone, "acme", terms(GPUShared, 1, 0, 1), false},
	} {
		if p := tt.on.Check(tt.tenant, tt.ask, 2); (p == nil) != tt.ok {
			t.Errorf("%s: %v", name, p)
		}
	}
	both := shared.With("other", terms(GPUShared, 100, 0, 1), true, 1)
	if used, fenced := both.Taken(); used != 2 || fenced != 2 || both.At(0).Milli != 700 || both.At(0).Leases != 2 {
		t.Errorf("two leases take %d devices, %d fenced: %+v", used, fenced, both)
	}
	if back := both.With("other", terms(GPUShared, 100, 0, 1), true, -1); !slices.Equal(back, shared) {
		t.Errorf("given back leaves %+v, want %+v", back, shared)
	}
	if back := shared.With("acme", terms(GPUShared, 600, 0), false, -1); len(back) != 0 {
		t.Errorf("the last one leaves %+v", back)
	}
}

func TestChooseGPUs(t *testing.T) {
	on := GPUUses{{}, {Class: GPUShared, Milli: 300, Leases: 1}, {Class: GPUShared, Milli: 700, Leases: 1}, {Class: GPUDeviceExclusive, Tenant: "x", Milli: 1000, Leases: 1}}
	for name, tt := range map[string]struct {
		g             GPUTerms
		n, free       int64
		want          []int
		fresh         int64
		enough, whole bool
	}{
		"the fullest that has room": {g: GPUTerms{Class: GPUShared, ShareMilli: 300}, n: 1, free: 2, want: []int{2}, enough: true},
		"the next":                  {g: GPUTerms{Class: GPUShared, ShareMilli: 301}, n: 1, free: 2, want: []int{1}, enough: true},
		"a whole one":               {g: GPUTerms{Class: GPUDeviceExclusive}, n: 1, free: 2, want: []int{0}, fresh: 1, enough: true},
		"three":                     {g: GPUTerms{Class: GPUShared, ShareMilli: 300}, n: 3, free: 2, want: []int{0, 1, 2}, fresh: 1, enough: true},
		"too many":                  {g: GPUTerms{Class: GPUDeviceExclusive}, n: 3, free: 2},
		"counted elsewhere":         {g: GPUTerms{Class: GPUDeviceExclusive}, n: 2, free: 1},
	} {
		got, fresh, ok := on.Choose("acme", &tt.g, tt.n, 5, tt.free)
		if ok != tt.enough || ok && (!slices.Equal(got, tt.want) || fresh != tt.fresh) {
			t.Errorf("%s: %v, %d fresh, %v", name, got, fresh, ok)
		}
	}
}

func TestGPUQuery(t *testing.T) {
	for want, g := range map[string]GPUTerms{
		"gpu=0,1&class=shared&share=250": {Class: GPUShared, ShareMilli: 250, Devices: []int{0, 1}},
		"gpu=63&class=device_exclusive":  {Class: GPUDeviceExclusive, Devices: []int{63}},
		"gpu=2&class=session_exclusive":  {Class: GPUSessionExclusive, Devices: []int{2}},
		"gpu=0&class=shared&share=1":     {Class: GPUShared, ShareMilli: 1, Devices: []int{0}},
	} {
		back, err := ParseGPUQuery(g.Query())
		if g.Query() != want || err != nil || !(&Terms{GPU: back}).Same(&Terms{GPU: &g}) {
			t.Errorf("%q comes back as %+v, %v, want %q", g.Query(), back, err, want)
		}
	}
	for _, bad := range []string{"", "gpu=&class=shared", "gpu=1", "gpu=1,0&class=shared", "gpu=64&class=shared", "gpu=0&class=shared&share=1001", "gpu=x&class=shared", "%zz"} {
		if g, err := ParseGPUQuery(bad); err == nil {
			t.Errorf("%q is read as %+v", bad, g)
		}
	}
	for text, want := range map[string]int64{"0.25": 250, "1": 1000, "0.001": 1, "1.000": 1000, "0.5": 500, "0": 0, "1.001": 0, "-0.5": 0, "0.1234": 0, "": 0, ".5": 0, "x": 0, "0.+1": 0, "2": 0, "1e-1": 0} {
		if got, err := ParseGPUShare(text); got != want || (err == nil) != (want > 0) {
			t.Errorf("share %q is %d, %v", text, got, err)
		}
	}
}
