package control

import (
	"context"
	"io"
	"time"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/cluster/relay"
)

// relayWait is for how long a cell's answer to an operation is waited for.
const relayWait = 30 * time.Second

// LeaseData carries one operation to the data plane of a lease's cell, over the session that
// the cell holds. The cell judges it; here it is only seen whether the lease is the caller's.
func (c *Control) LeaseData(ctx context.Context, r api.DataRequest) (*api.DataAnswer, error) {
	l, err := c.touched(ctx, r.Lease)
	if err != nil {
		return nil, err
	}
	if !l.State.Usable() {
		return nil, ended(l)
	}
	if r.Length > api.MaxRelay || r.Offset < 0 || r.Length < 0 {
		return nil, api.Refuse(api.TooLarge, "%d bytes at %d are asked for: at most %d go through a scheduler at one time", r.Length, r.Offset, api.MaxRelay)
	}
	var body io.Reader
	if r.Write {
		body = r.Body
	}
	o, err := c.relays.Open(api.NewID(c.cfg.Random, ""), l.CellID, body)
	if err != nil {
		return nil, unasked{err}
	}
	answer, err := c.carry(ctx, o, l, r)
	if err != nil {
		o.Close()
		return nil, err
	}
	return answer, nil
}

// touched returns a lease whose bytes the caller may ask for. Any scheduler carries them: one that does not
// know the lease yet asks the leader how far it has come first.
func (c *Control) touched(ctx context.Context, id api.LeaseID) (api.Lease, error) {
	l, err := own(ctx, c.cfg.Machine.View(), id)
	if err != nil {
		v, err := c.cfg.Cluster.Read(ctx)
		if err != nil {
			return l, err
		}
		if l, err = own(ctx, v, id); err != nil {
			return l, err
		}
	}
	_, err = actFor(ctx, l.Tenant)
	return l, err
}

// carry asks the cell and waits for its answer.
func (c *Control) carry(ctx context.Context, o *relay.Operation, l api.Lease, r api.DataRequest) (*api.DataAnswer, error) {
	ask := api.Ask{ID: o.ID(), LeaseID: l.ID, Generation: l.Generation, Data: &api.DataAsk{
		Write: r.Write, Sync: r.Sync, Token: r.Token, Proof: r.Proof, Offset: r.Offset, Length: r.Length, Scheduler: c.cfg.Cluster.State().URL,
	}}
	if err := c.askCell(ctx, l.CellID, ask); err != nil {
		return nil, err
	}
	wait, cancel := context.WithTimeout(ctx, relayWait)
	defer cancel()
	a, err := o.Wait(wait)
	if err != nil {
		return nil, err
	}
	if a.Problem != nil {
		return nil, a.Problem
	}
	answer := &api.DataAnswer{Length: a.Length, Nonce: a.Nonce}
	if r.Write || a.Body == nil {
		o.Close()
		return answer, nil
	}
	answer.Body = &carried{a.Body, o}
	return answer, nil
}

// carried is what a cell sends; its end is told to the cell.
type carried struct {
	io.Reader
	operation *relay.Operation
}

// Close ends the operation.
func (c *carried) Close() error {
	c.operation.Close()
	return nil
}

// RelayBody gives a cell what is to be written.
func (c *Control) RelayBody(_ context.Context, cell api.CellID, ask string) (io.ReadCloser, error) {
	body, err := c.relays.Body(cell, ask)
	if err != nil {
		return nil, err
	}
	return io.NopCloser(body), nil // it is the waiting request's own
}

// RelayAnswer takes what a cell answers.
func (c *Control) RelayAnswer(ctx context.Context, cell api.CellID, ask string, a api.RelayAnswer) error {
	return c.relays.Answer(ctx, cell, ask, a)
}
