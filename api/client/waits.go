package client

import (
	"errors"
	"time"

	"github.com/grafos/grafos/api"
)

const (
	// waitsFirst is after how long it is told what a call waits for, waitsAgain how often then.
	waitsFirst = 2 * time.Second
	waitsAgain = 15 * time.Second
)

// waits tells, now and then, what a call or a stream waits for.
type waits struct {
	tell        func(error) // nil tells nobody
	began, told time.Time
}

// waits begins to wait.
func (c *Client) waits() *waits { return &waits{tell: c.config.Waiting, began: time.Now()} }

// failed is told of a try that failed, before the next one.
func (w *waits) failed(err error) {
	now := time.Now()
	if w.tell == nil || now.Sub(w.began) < waitsFirst || !w.told.IsZero() && now.Sub(w.told) < waitsAgain {
		return
	}
	w.told = now
	w.tell(err)
}

// answered ends the waiting.
func (w *waits) answered() { w.began, w.told = time.Now(), time.Time{} }

// patient reports whether a stream that could not be opened is tried for longer: where somebody
// is told so, and a scheduler is known to be there. met says that one was before.
func (c *Client) patient(err error, met bool) bool {
	if c.config.Waiting == nil {
		return false
	}
	what, _ := judge(err)
	if _, over := errors.AsType[*endedError](err); over && api.KindOf(err) == api.NoLeader {
		what = later // nobody could be reached
	}
	p, ok := api.AsError(err)
	return what != final && (met || ok && p.RequestID != "")
}
