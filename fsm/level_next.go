//go:build nextlevel

package fsm

import "github.com/grafos/grafos/api"

// NewestLevel is one above that of the release: this build is what a test upgrades to.
const NewestLevel Level = 3

// KindProbe came with the next level.
const KindProbe = KindMarkCell + 1

// newestKind is the last of the kinds.
const newestKind = KindProbe

func (k Kind) makeNext() Command {
	if k == KindProbe {
		return new(Probe)
	}
	return nil
}

func (k Kind) nextLevel() Level {
	if k == KindProbe {
		return 3
	}
	return NewestLevel + 1
}

// Probe is a command that only the next level knows: it leaves an audit record.
type Probe struct{}

// Kind returns KindProbe.
func (Probe) Kind() Kind { return KindProbe }

// apply leaves its record.
func (Probe) apply(s *State) (Result, *api.Error) {
	s.audit("probe", scheduler, subject{}, struct{}{})
	return Result{}, nil
}
