package fsm

import "github.com/grafos/grafos/api"

// Bounds of what a command may carry. MaxEntry bounds the whole.
const (
	MaxCommands  = 1024 // of one entry
	MaxAdvance   = 1024 // leases of one AdvanceLeases
	MaxItems     = 16   // leases of one grant
	MaxChanges   = 1024 // of one ChangeHealth
	MaxRefusals  = 256  // of one NoteRefusals
	MaxTokenUses = 256
	MaxArtifacts = 32 // of one run

	maxProviders = 256
	maxID        = 96 // lease ids, run ids, agent names
	maxActor     = 256
	maxScope     = 128
	maxHash      = 128
	maxReason    = 512
	maxURL       = 512
	maxVersion   = 64
	maxKeyHex    = 128
	maxCode      = 64
	maxMessage   = 1024
	maxLabels    = 64
	maxGPUs      = 64
	maxGrace     = int64(api.MaxTTL / 1e6) // ms
)

// checkText refuses a text that is longer than limit bytes or holds control characters.
func checkText(what, s string, limit int) *api.Error {
	if len(s) > limit {
		return api.Refuse(api.TooLarge, "%s has %d bytes: at most %d are taken", what, len(s), limit)
	}
	for i := range len(s) {
		if c := s[i]; c < ' ' && c != '\n' && c != '\t' {
			return api.Refuse(api.InvalidArgument, "%s holds a control character", what)
		}
	}
	return nil
}

// checkID refuses what is not an id: 1 to 96 characters of letters, digits, '-', '_', '.' and ':'.
func checkID(what, id string) *api.Error {
	if id == "" || len(id) > maxID {
		return api.Refuse(api.InvalidArgument, "%s has %d characters: it must have 1 to %d", what, len(id), maxID)
	}
	for _, r := range id {
		alnum := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9'
		if !alnum && r != '-' && r != '_' && r != '.' && r != ':' {
			return api.Refuse(api.InvalidArgument, "%s %q has a character %q that an id cannot have", what, id, r)
		}
	}
	return nil
}

// checkName is api.CheckName with the concrete type.
func checkName(what, name string) *api.Error {
	return api.Problem(api.CheckName(what, name))
}

// checkStamp refuses a stamp that no cell could have given. The zero stamp is none.
func checkStamp(s api.Stamp) *api.Error {
	if s.BootTime < 0 {
		return api.Refuse(api.InvalidArgument, "stamp is %d ns: a boot time is never negative", s.BootTime)
	}
	return checkText("boot id", s.BootID, 64)
}

// checkGrace refuses a grace outside 0 to 24 h.
func checkGrace(ms int64) *api.Error {
	if ms < 0 || ms > maxGrace {
		return api.Refuse(api.InvalidArgument, "grace is %d ms: it must be from 0 to 24 h", ms)
	}
	return nil
}

// first returns the first problem, nil when there is none.
func first(problems ...*api.Error) *api.Error {
	for _, p := range problems {
		if p != nil {
			return p
		}
	}
	return nil
}

// cellWhat names a cell in a message.
func cellWhat(p api.ProviderID, c api.CellID) string {
	return "cell " + string(c) + " of provider " + string(p)
}

// checkCellName checks the two names of a cell.
func checkCellName(p api.ProviderID, c api.CellID) *api.Error {
	return first(checkName("provider", string(p)), checkName("cell id", string(c)))
}
