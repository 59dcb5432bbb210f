package peer

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"

	"github.com/grafos/grafos/api/clock"
)

// memory is a link within this process.
type memory struct {
	*raft.InmemTransport
	Watch // nobody is watched
}

// TestStandsAtOnce or not at all: raft takes nothing, and finds nothing when it does again.
func TestStandsAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		_, inner := raft.NewInmemTransport("")
		tr := New(memory{InmemTransport: inner}, clock.System(), hclog.NewNullLogger(), func() {})
		began := time.Now()
		if err := tr.StartElection(t.Context(), raft.RPCHeader{}); !errors.Is(err, ErrBusy) || time.Since(began) != StandWithin {
			t.Errorf("%v after %s", err, time.Since(began))
		}
		synctest.Wait()
		select {
		case rpc := <-tr.Consumer():
			t.Errorf("raft finds %T", rpc.Command)
		default:
		}
		if err := tr.Close(); err != nil {
			t.Error(err)
		}
	})
}
