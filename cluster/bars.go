package cluster

import (
	"slices"

	"github.com/grafos/grafos/fsm"
)

// A revocation is for ever: a state that is put in place of another one must not bring a cell back that
// was revoked in it.

// barBytes bounds the commands of one entry that bars cells again.
const barBytes = 128 << 10

// barLevel is the feature level of the command that does it.
func barLevel() fsm.Level { return fsm.LevelOf(fsm.BarCell{Again: true}) }

// forgotten are the revocations that a state does not have.
func forgotten(v *fsm.View, revoked []fsm.BarCell) []fsm.BarCell {
	return slices.DeleteFunc(revoked, func(b fsm.BarCell) bool { return !v.Forgets(b) })
}

// barAgain returns the entries that put the revocations into a state. It is raised to the level of
// the cluster that it goes to, which every member of that one knows, and to that of the command.
func barAgain(v *fsm.View, level fsm.Level, revoked []fsm.BarCell) ([][]fsm.Command, error) {
	missing := forgotten(v, revoked)
	if len(missing) == 0 {
		return nil, nil
	}
	if level < barLevel() {
		return nil, tooNew("%d cells were revoked since, and a cluster at feature level %d cannot carry that over", len(missing), level)
	}
	entry := []fsm.Command{fsm.RaiseLevel{Level: level}}
	var entries [][]fsm.Command
	size := 0
	for _, b := range missing {
		if n := fsm.EncodedSize(b); size+n > barBytes || len(entry) == fsm.MaxCommands {
			entries, entry, size = append(entries, entry), nil, 0
		}
		entry, size = append(entry, b), size+fsm.EncodedSize(b)
	}
	return append(entries, entry), nil
}
