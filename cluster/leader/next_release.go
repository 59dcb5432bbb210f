//go:build !nextlevel

package leader

import "context"

// next are the duties that only a build for tests has (fsm.NewestLevel).
func (*term) next() []func(context.Context) { return nil }
