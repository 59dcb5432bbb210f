package disk

import "fmt"

// CorruptError says that something on disk is not what was written. It is never healed in
// place: the node stops.
type CorruptError struct {
	File  string // path of the file
	Index uint64 // Raft index or audit sequence, where one entry is meant; else 0
	Key   string // name of the stable value, where one is meant
	Why   string
}

// Error names the file, the entry and the fault.
func (e *CorruptError) Error() string {
	switch {
	case e.Key != "":
		return fmt.Sprintf("%s: stable value %s is corrupt: %s", e.File, e.Key, e.Why)
	case e.Index != 0:
		return fmt.Sprintf("%s: entry %d is corrupt: %s", e.File, e.Index, e.Why)
	}
	return fmt.Sprintf("%s is corrupt: %s", e.File, e.Why)
}
