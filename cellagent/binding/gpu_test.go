package binding

import (
	"context"
	"testing"

	"github.com/grafos/grafos/api"
)

func gpuLease(id api.LeaseID, tenant api.TenantID, class api.GPUClass, share int64, devices ...int) api.Lease {
	return api.Lease{
		ID: id, Tenant: tenant, Kind: api.KindGPU, Amount: int64(len(devices)),
		Terms: &api.Terms{GPU: &api.GPUTerms{Class: class, ShareMilli: share, Devices: devices}},
	}
}

// TestGPUs: a host binds the gpus that it has, to whom their classes admit, and counts a shared one
// once; what is fenced is counted.
func TestGPUs(t *testing.T) {
	h := open(t, t.TempDir(), api.Resources{GPU: 2})
	bind := func(l api.Lease, kind api.Kind) Binding {
		t.Helper()
		b, err := h.Bind(l)
		if api.KindOf(err) != kind && (err != nil || kind != "") {
			t.Fatalf("lease %s: %v, want %q", l.ID, err, kind)
		}
		return b
	}
	free := func(want int64) {
		t.Helper()
		if got := h.Free().GPU; got != want {
			t.Errorf("%d gpus are free, want %d", got, want)
		}
	}
	one := bind(gpuLease("l1", "acme", api.GPUShared, 600, 0), "")
	bind(gpuLease("l2", "beta", api.GPUShared, 400, 0), "")
	free(1)
	bind(gpuLease("l3", "acme", api.GPUShared, 1, 0), api.Overloaded)
	bind(gpuLease("l3", "acme", api.GPUDeviceExclusive, 0, 0), api.Overloaded)
	bind(gpuLease("l3", "acme", api.GPUShared, 1, 2), api.Overloaded)
	wrong := gpuLease("l3", "acme", api.GPUShared, 1, 1)
	wrong.Amount = 2
	bind(wrong, api.InvalidArgument)
	bind(api.Lease{ID: "l4", Kind: api.KindGPU, Amount: 1}, "")
	free(0)
	bind(gpuLease("l5", "acme", api.GPUDeviceExclusive, 0, 1), api.Overloaded) // l4 has one of them
	if err := one.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	free(0)
	h.Fence(Fence{Lease: "l6", Kind: api.KindGPU, Amount: 1, Tenant: "acme", GPU: gpuLease("", "", api.GPUShared, 500, 0).Terms.GPU})
	bind(gpuLease("l7", "acme", api.GPUShared, 101, 0), api.Overloaded)
	bind(gpuLease("l7", "acme", api.GPUShared, 100, 0), "")
	if err := h.Unfence(context.Background(), "l6"); err != nil {
		t.Fatal(err)
	}
	bind(gpuLease("l8", "acme", api.GPUShared, 500, 0), "")
	if u := h.Devices().At(0); u.Milli != 1000 || u.Leases != 3 {
		t.Errorf("gpu 0 is %+v", u)
	}
}

// TestGPUsThatCannotBe: a lease whose ordinals do not rise, or are none, is refused, and a fence of them
// counts as one of gpus that nobody knows.
func TestGPUsThatCannotBe(t *testing.T) {
	for _, devices := range [][]int{{2, 0}, {-1}, {-1, 0}, {1, 1}, {api.MaxGPUOrdinals}} {
		h := open(t, t.TempDir(), api.Resources{GPU: 3})
		l := gpuLease("l1", "acme", api.GPUShared, 100, devices...)
		if _, err := h.Bind(l); api.KindOf(err) != api.InvalidArgument {
			t.Errorf("devices %v: %v, want them refused", devices, err)
		}
		if got := h.Free().GPU; got != 3 {
			t.Errorf("devices %v are refused and %d are free", devices, got)
		}
		h.Fence(Fence{Lease: "l2", Kind: api.KindGPU, Amount: l.Amount, Tenant: "acme", GPU: l.Terms.GPU})
		if got := h.Free().GPU; got != 3-l.Amount {
			t.Errorf("devices %v are fenced and %d are free", devices, got)
		}
		if err := h.Unfence(t.Context(), "l2"); err != nil || h.Free().GPU != 3 {
			t.Errorf("devices %v are unfenced: %v, %d are free", devices, err, h.Free().GPU)
		}
	}
}
