package cellagent

import (
	"context"
	"fmt"

	"github.com/grafos/grafos/api"
)

// Check refuses an offer that this host cannot keep, as an agent whose directory is dir would.
func (o Offer) Check(ctx context.Context, dir string) error {
	if err := o.validate(); err != nil {
		return api.Refuse(api.InvalidArgument, "%v", err)
	}
	host, err := probeHost(ctx, dir, place{})
	if err != nil {
		return fmt.Errorf("read inventory: %w", err)
	}
	return o.check(host, 0)
}
