package history

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/anishathalye/porcupine"
)

// Check returns what no sequential scheduler could have answered; nothing is good. It takes
// at most limit for each of the two models, and reports what it could not decide by then as
// an error. A picture of a history that is impossible is written to dir.
func (r *Recorder) Check(dir string, limit time.Duration) ([]string, error) {
	r.mu.Lock()
	leases, quotas, reads := slices.Clone(r.leases), slices.Clone(r.quotas), slices.Clone(r.reads)
	r.mu.Unlock()
	faults := checkReads(reads)
	var errs []error
	for _, m := range []struct {
		name  string
		model porcupine.Model
		ops   []porcupine.Operation
	}{{"leases", leaseModel(), leases}, {"quotas", quotaModel(), quotas}} {
		found, err := checkModel(m.name, m.model, m.ops, dir, limit)
		faults, errs = append(faults, found...), append(errs, err)
	}
	return faults, errors.Join(errs...)
}

func checkModel(name string, model porcupine.Model, ops []porcupine.Operation, dir string, limit time.Duration) ([]string, error) {
	deadline := time.Now().Add(limit)
	parts := model.Partition(ops)
	model.Partition = nil
	var faults []string
	undecided := 0
	for _, part := range parts {
		result, info := porcupine.CheckOperationsVerbose(model, part, max(time.Until(deadline), time.Millisecond))
		switch result {
		case porcupine.Ok:
		case porcupine.Unknown:
			undecided++
		case porcupine.Illegal:
			what := model.DescribeOperation(part[0].Input, part[0].Output)
			picture := filepath.Join(dir, fmt.Sprintf("%s-%d.html", name, len(faults)))
			if err := draw(model, info, picture); err != nil {
				return faults, err
			}
			faults = append(faults, fmt.Sprintf("no order of the %d operations that begin with %q explains their answers: %s", len(part), what, picture))
		}
	}
	if undecided > 0 {
		return faults, fmt.Errorf("%d of %d %s could not be decided within %s", undecided, len(parts), name, limit)
	}
	return faults, nil
}

func draw(model porcupine.Model, info porcupine.LinearizationInfo, path string) error {
	f, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("draw history: %w", err)
	}
	return errors.Join(porcupine.Visualize(model, info, f), f.Close())
}
