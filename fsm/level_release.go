//go:build !nextlevel

package fsm

// NewestLevel is the newest one that this release knows.
const NewestLevel Level = 2

// newestKind is the last of the kinds.
const newestKind = KindMarkCell

// makeNext and nextLevel are for what a release with the build tag nextlevel knows beyond
// this one: it exists to be upgraded to, in tests.
func (Kind) makeNext() Command { return nil }

func (Kind) nextLevel() Level { return NewestLevel + 1 }
