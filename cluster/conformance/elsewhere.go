package conformance

import "errors"

// elsewhere is an error that is not the cell's.
type elsewhere struct{ error }

func (e elsewhere) Unwrap() error { return e.error }

// NotTheCells marks an error that the cell has no part in: a scheduler that could not decide, or could not
// ask the cell. It ends a suite without a result. All else is held against the cell, whatever its kind: that
// is the cell's to choose.
func NotTheCells(err error) error {
	if err == nil {
		return nil
	}
	return elsewhere{err}
}

// still is a refusal because the cell says itself that something on it does not move.
type still struct{ error }

func (s still) Unwrap() error { return s.error }

// StandsStill marks a refusal of a cell that says that something on it does not move. It ends what it is in the
// way of, and lets the other checks find out what that is.
func StandsStill(err error) error {
	if err == nil {
		return nil
	}
	return still{err}
}

func standsStill(err error) bool {
	_, ok := errors.AsType[still](err)
	return ok
}

// notTheCells is err where it is marked, and nil where it is the cell's.
func notTheCells(err error) error {
	if _, ok := errors.AsType[elsewhere](err); ok {
		return err
	}
	return nil
}
