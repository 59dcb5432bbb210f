package fsm

// Level numbers what a release can write and read. A cluster's level is in its state: the
// leader raises it when every member knows the next one, and writes nothing above it before,
// so that a cluster of two releases never holds an entry that one of them cannot read. It is
// never lowered.
type Level uint32

// level returns the level that a kind came with.
func (k Kind) level() Level {
	switch k {
	case KindInitCluster, KindTick, KindEnableProvider, KindUseToken, KindRegisterCell, KindChangeHealth, KindReportCell,
		KindGrantLeases, KindRenewLease, KindFreeLease, KindRevokeLease, KindAdvanceLeases, KindRevokeCell, KindBarCell,
		KindCreateTenant, KindSetQuota, KindDeleteTenant, KindReferBlob, KindNoteRefusals, KindEndRun, KindRaiseLevel, KindRecovered,
		KindNoteMembership:
		return 1
	case KindUnfenceLease, KindSetCellMode, KindRenewIdentity, KindRecordConformance, KindMarkCell:
		return 2
	}
	return k.nextLevel()
}

// levelled is a command that has got fields since its kind came: it says which level those
// need that are set.
type levelled interface{ level() Level }

// LevelOf returns the feature level that a command needs: that of its kind, or of the newest
// field that is set in it. A leader proposes a command only when the cluster's level, which
// View.Level returns, is no lower.
func LevelOf(c Command) Level {
	if l, ok := c.(levelled); ok {
		return max(c.Kind().level(), l.level())
	}
	return c.Kind().level()
}
