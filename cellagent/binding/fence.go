package binding

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/grafos/grafos/api"
)

// dirFenced is where the files of fenced blocks are set aside, so that nobody wipes them and nobody
// finds them in his way.
const dirFenced = "fenced"

// Fence is a resource that an agent before this one could not tear down.
type Fence struct {
	Lease  api.LeaseID
	Kind   api.LeaseKind
	Amount int64
	Reason string
	// Tenant and GPU say of whom which gpus are fenced; nil is that nobody knows.
	Tenant api.TenantID
	GPU    *api.GPUTerms
}

// remains is the file of a block that was fenced, if there is one: nobody reads or writes it any
// more.
type remains struct{ path string }

var errFenced = errors.New("the resource is fenced")

func (remains) readAt([]byte, int64) error  { return errFenced }
func (remains) writeAt([]byte, int64) error { return errFenced }
func (remains) prompt() bool                { return false }
func (r remains) name() string              { return r.path }

// destroy wipes and removes the file.
func (r remains) destroy() error {
	stat, err := os.Lstat(r.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look at fenced block: %w", err)
	}
	if stat.Mode().IsRegular() {
		if err := os.Truncate(r.path, 0); err != nil {
			return fmt.Errorf("wipe fenced block: %w", err)
		}
	}
	if err := os.Remove(r.path); err != nil {
		return fmt.Errorf("remove fenced block: %w", err)
	}
	return nil
}

// setAside moves the file of a fenced block away, and returns where it is. One that does not move
// stays where it was.
func (h *Host) setAside(id api.LeaseID) (string, error) {
	from, to := blockPath(h.dir, id), blockPath(filepath.Join(h.dir, dirFenced), id)
	switch _, err := os.Lstat(from); {
	case errors.Is(err, fs.ErrNotExist):
		return to, nil // it was set aside before, or it never got one
	case err != nil:
		return from, fmt.Errorf("look at fenced block: %w", err)
	}
	if err := os.Rename(from, to); err != nil {
		return from, fmt.Errorf("set fenced block aside: %w", err)
	}
	return to, nil
}

// Fence takes the amount of a resource that was fenced before this Host was opened: it is counted,
// whatever is free, until Unfence. One that is known already is not counted again.
func (h *Host) Fence(f Fence) {
	f.GPU = f.known()
	b := &bound{host: h, lease: f.Lease, kind: f.Kind, amount: f.Amount, tenant: f.Tenant, gpu: f.GPU, closed: true}
	b.fence = fmt.Errorf("lease %s is fenced: %s", f.Lease, f.Reason)
	h.mu.Lock()
	if _, known := h.bound[f.Lease]; known {
		h.mu.Unlock()
		return
	}
	h.bound[f.Lease] = b
	h.count(f.Tenant, f.Kind, f.Amount, f.GPU, 1)
	h.mu.Unlock()
	if f.Kind != api.KindBlock {
		return
	}
	path, err := h.setAside(f.Lease)
	if err != nil {
		h.log.Error("fenced block stays where it is", "lease_id", f.Lease, "error", err)
	}
	b.teardown.Lock()
	defer b.teardown.Unlock()
	b.store = remains{path}
}

// Unfence tries the teardown of a fenced lease again, because an operator says so, and
// frees its amount when it succeeds. A lease that is unknown here holds nothing: no error. Whoever
// calls it knows that the lease is fenced: a binding that is in use is torn down as well.
func (h *Host) Unfence(ctx context.Context, id api.LeaseID) error {
	h.mu.Lock()
	b, known := h.bound[id]
	h.mu.Unlock()
	if !known {
		return nil
	}
	if b == nil {
		return api.Refuse(api.Conflict, "lease %s is being bound", id)
	}
	return b.unfence(ctx)
}
