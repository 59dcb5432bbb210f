package tasklet

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"github.com/grafos/grafos/api/clock"
	"github.com/grafos/grafos/cellagent/work"
)

// caller makes the calls of one guest for it: one at a time, in the order in which they come.
type caller struct {
	net    work.Net // nil is that the run has none
	conn   io.Writer
	calls  chan call // nil until the first one
	cancel context.CancelFunc
	wg     sync.WaitGroup
	open   sync.Mutex // guards under
	under  int        // calls that were taken and not answered
}

// take takes a call from a worker. It does not wait for it: what else the worker says must be heard,
// its death too. A worker that does not wait for its answers is none of ours.
func (c *caller) take(ctx context.Context, payload []byte) error {
	one, err := parseCall(payload)
	if err != nil {
		return err
	}
	if c.calls == nil {
		c.calls = make(chan call, 1)
		ctx, c.cancel = context.WithCancel(ctx)
		c.wg.Go(func() { c.serve(ctx) })
	}
	if !c.begin() {
		return errors.New("worker makes a second call before the first is answered")
	}
	c.calls <- one // there is room: at most one is under way
	return nil
}

func (c *caller) begin() bool {
	c.open.Lock()
	defer c.open.Unlock()
	if c.under > 0 {
		return false
	}
	c.under++
	return true
}

// busy reports whether a call was not answered.
func (c *caller) busy() bool {
	c.open.Lock()
	defer c.open.Unlock()
	return c.under > 0
}

// answered is said before the answer is sent: whoever has it may make the next call.
func (c *caller) answered() {
	c.open.Lock()
	defer c.open.Unlock()
	c.under--
}

// serve makes the calls until stop.
func (c *caller) serve(ctx context.Context) {
	buffer := make([]byte, callData)
	for one := range c.calls {
		r := c.make(ctx, one, buffer)
		if ctx.Err() != nil {
			return // the worker is being killed: a guest that heard of its end could still have a result
		}
		c.answered()
		if err := writeFrame(c.conn, frameReply, r.encode()); err != nil {
			return // the worker is gone, as receive finds out
		}
	}
}

// idleCall is what a call costs a guest that has no network: nobody else's pace holds it back.
const idleCall = time.Millisecond

func (c *caller) make(ctx context.Context, one call, buffer []byte) reply {
	if c.net == nil {
		clock.Sleep(ctx, idleCall)
		return reply{result: int32(work.NetUnsupported)}
	}
	switch one.op {
	case opDial:
		flow, s := c.net.Dial(ctx, string(one.data), one.wait())
		return replied(flow, s, nil)
	case opSend:
		n, s := c.net.Send(ctx, one.flow, one.data, one.wait())
		return replied(int32(n), s, nil)
	case opRecv:
		n, s := c.net.Recv(ctx, one.flow, buffer[:one.want], one.wait())
		return replied(int32(n), s, buffer[:n])
	case opHang:
		return replied(0, c.net.Hang(ctx, one.flow), nil)
	}
	return reply{result: int32(work.NetUnsupported)}
}

// stop calls off what is under way and waits for it. The worker is dead, or has its answers.
func (c *caller) stop() {
	if c.calls == nil {
		return
	}
	c.cancel()
	close(c.calls)
	c.wg.Wait()
}
