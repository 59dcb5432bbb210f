package cellagent

import (
	"time"

	"github.com/grafos/grafos/api"
)

// refused is why a certificate that has ended was not renewed. Where no scheduler will ever renew it, since that was too
// long ago or the cell never registered, it says what has to be done on the host.
func (r *renewal) refused(ends time.Time, err error) error {
	switch api.KindOf(err) { //nolint:exhaustive // every other kind may pass
	case api.Unauthenticated, api.NotFound:
	default:
		return err
	}
	lost := api.Refuse(api.Unauthenticated, "the certificate of cell %s ended at %s and cannot be renewed: %s",
		r.cell, ends.UTC().Format(time.RFC3339), api.Problem(err).Detail).
		WithHint("bootstrap the host again with a new token, then start the agent again: grafos cloud bootstrap-cell --provider %s --cell-id %s",
			r.provider, r.cell)
	r.lost.Store(lost)
	return lost
}

// unshown is why a registration was refused as nobody's: a certificate that has ended is not shown, so a scheduler can
// only say that there is none.
func (r *renewal) unshown(err error) error {
	_, _, ends := r.identity.Certificate()
	if api.KindOf(err) != api.Unauthenticated || r.wall().Before(ends) {
		return err
	}
	if lost := r.lost.Load(); lost != nil {
		return lost
	}
	return api.Refuse(api.Unauthenticated, "the certificate of cell %s ended at %s: the cell registers when it is renewed",
		r.cell, ends.UTC().Format(time.RFC3339))
}

// hinted is what a log line says of an error: what to do next, too.
func hinted(err error, args ...any) []any {
	args = append([]any{"error", err}, args...)
	if e, ok := api.AsError(err); ok && e.Hint != "" {
		args = append(args, "hint", e.Hint)
	}
	return args
}
