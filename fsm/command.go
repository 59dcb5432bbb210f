package fsm

import "github.com/grafos/grafos/api"

// Kind numbers the commands. The list is closed and only ever appended to: the numbers are
// in the log.
type Kind uint16

// The kinds.
const (
	KindInitCluster Kind = iota + 1
	KindTick
	KindEnableProvider
	KindUseToken
	KindRegisterCell
	KindChangeHealth
	KindReportCell
	KindGrantLeases
	KindRenewLease
	KindFreeLease
	KindRevokeLease
	KindAdvanceLeases
	KindRevokeCell
	KindBarCell
	KindCreateTenant
	KindSetQuota
	KindDeleteTenant
	KindReferBlob
	KindNoteRefusals
	KindEndRun
	KindRaiseLevel
	KindRecovered
	KindNoteMembership
	KindUnfenceLease
	KindSetCellMode
	KindRenewIdentity
	KindRecordConformance
	KindMarkCell
)

// make returns an empty command of the kind to decode into, nil for a kind that does not
// exist. It is the one list of the commands.
func (k Kind) make() Command {
	switch k {
	case KindInitCluster:
		return new(InitCluster)
	case KindTick:
		return new(Tick)
	case KindEnableProvider:
		return new(EnableProvider)
	case KindUseToken:
		return new(UseToken)
	case KindRegisterCell:
		return new(RegisterCell)
	case KindChangeHealth:
		return new(ChangeHealth)
	case KindReportCell:
		return new(ReportCell)
	case KindGrantLeases:
		return new(GrantLeases)
	case KindRenewLease:
		return new(RenewLease)
	case KindFreeLease:
		return new(FreeLease)
	case KindRevokeLease:
		return new(RevokeLease)
	case KindAdvanceLeases:
		return new(AdvanceLeases)
	case KindRevokeCell:
		return new(RevokeCell)
	case KindBarCell:
		return new(BarCell)
	case KindCreateTenant:
		return new(CreateTenant)
	case KindSetQuota:
		return new(SetQuota)
	case KindDeleteTenant:
		return new(DeleteTenant)
	case KindReferBlob:
		return new(ReferBlob)
	case KindNoteRefusals:
		return new(NoteRefusals)
	case KindEndRun:
		return new(EndRun)
	case KindRaiseLevel:
		return new(RaiseLevel)
	case KindRecovered:
		return new(Recovered)
	case KindNoteMembership:
		return new(NoteMembership)
	case KindUnfenceLease:
		return new(UnfenceLease)
	case KindSetCellMode:
		return new(SetCellMode)
	case KindRenewIdentity:
		return new(RenewIdentity)
	case KindRecordConformance:
		return new(RecordConformance)
	case KindMarkCell:
		return new(MarkCell)
	}
	return k.makeNext()
}

// Command is one change of the state, as it stands in the log.
type Command interface {
	Kind() Kind
	// apply changes the state or refuses; it never does both.
	apply(s *State) (Result, *api.Error)
}

// Entry is what one Raft entry carries: the commands that were decided together.
type Entry struct {
	Tick     api.Tick  `json:"tick"`    // the leader's cluster time
	Wall     int64     `json:"wall_ms"` // the leader's wall clock, Unix ms, for display only
	Commands []Command `json:"commands"`
}

// Result is what became of one command.
type Result struct {
	Index     uint64 // of the entry; of the first one when Replayed
	Leases    []api.LeaseID
	Run       api.RunID
	Replayed  bool
	Refused   []api.ReportRefusal
	CellEpoch uint64
	Changed   bool
	Problem   *api.Error
}
