package cellagent

import (
	"context"
	"fmt"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/grafos/grafos/api"
)

// registerMost is the longest wait between two attempts to register.
const registerMost = 5 * time.Second

// register registers the agent, for as long as ctx lasts. Only what no repetition can change
// ends it: the identity is revoked, or it is another one.
func (a *Agent) register(ctx context.Context) (*api.RegisterAnswer, error) {
	wait := newRetry()
	wait.MaxInterval = registerMost
	return backoff.Retry(ctx, func() (*api.RegisterAnswer, error) {
		answer, err := a.registerOnce(ctx)
		switch kind := api.KindOf(err); {
		case kind == api.IdentityRevoked || kind == api.IdentityMismatch || kind == api.AttestationFailed:
			return nil, backoff.Permanent(fmt.Errorf("register cell %s of provider %s: %w", a.config.CellID, a.config.Provider, err))
		case err != nil:
			return nil, err
		}
		return answer, nil
	}, backoff.WithBackOff(wait), backoff.WithMaxElapsedTime(0), backoff.WithNotify(func(err error, d time.Duration) {
		a.log.Warn("not registered yet", hinted(err, "wait", d)...)
	}))
}

func (a *Agent) registerOnce(ctx context.Context) (*api.RegisterAnswer, error) {
	fabric, err := a.fleet.get()
	if err != nil {
		return nil, err
	}
	answer, err := fabric.Register(ctx, api.RegisterRequest{
		Provider: a.config.Provider, CellID: a.config.CellID, Agent: a.name,
		BrokerKey: a.keeper.broker.PublicKey(), DataURL: a.dataURL,
		Version: a.config.Version, Stamp: stampOf(a.keeper.clock),
	})
	if err != nil {
		if a.renewing != nil {
			err = a.renewing.unshown(err)
		}
		return nil, err
	}
	if answer.ClusterID != a.config.ClusterID {
		return nil, api.Refuse(api.IdentityMismatch, "the scheduler is of cluster %q, the cell of %q", answer.ClusterID, a.config.ClusterID)
	}
	return answer, nil
}
