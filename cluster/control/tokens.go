package control

import (
	"context"
	"sync"
	"time"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/api/clock"
)

// Capability tokens pass through the leader's memory on their way from the cell to the
// waiting client: put when the report that carries them is committed, before the client is told of
// it, and taken once. They are nowhere else; what is lost here is minted again.
type tokens struct {
	clock clock.Clock

	mu    sync.Mutex
	held  map[api.LeaseID]heldToken
	order []api.LeaseID // oldest first; may name what was taken
	// coming are those whose report is being committed: the state may say that they are bound before
	// they are put. The channel is closed when they are.
	coming map[api.LeaseID]chan struct{}
}

type heldToken struct {
	generation uint64
	token      string
	at         time.Time
}

const (
	tokenKeep = 30 * time.Second
	maxTokens = 16384
)

func newTokens(c clock.Clock) *tokens {
	return &tokens{clock: c, held: map[api.LeaseID]heldToken{}, coming: map[api.LeaseID]chan struct{}{}}
}

func (t *tokens) put(id api.LeaseID, generation uint64, token string) {
	if token == "" {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.clock.Now()
	for len(t.order) > 0 {
		oldest := t.order[0]
		h, ok := t.held[oldest]
		if ok && now.Sub(h.at) < tokenKeep && len(t.order) < maxTokens {
			break
		}
		if ok && now.Sub(h.at) >= tokenKeep || len(t.order) >= maxTokens {
			delete(t.held, oldest)
		}
		t.order = t.order[1:]
	}
	t.held[id] = heldToken{generation, token, now}
	t.order = append(t.order, id)
}

// expect says that tokens are coming with bindings, until the function returned is called.
func (t *tokens) expect(bound []api.BoundReport) (came func()) {
	if len(bound) == 0 {
		return func() {}
	}
	all := make(chan struct{})
	t.mu.Lock()
	defer t.mu.Unlock()
	for i := range bound {
		t.coming[bound[i].LeaseID] = all
	}
	return func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		for i := range bound {
			if t.coming[bound[i].LeaseID] == all {
				delete(t.coming, bound[i].LeaseID)
			}
		}
		close(all)
	}
}

// comeTime is for how long a token is waited for that is coming: the cell can be asked for another one.
const comeTime = time.Second

// await is take, and waits for a token that is coming.
func (t *tokens) await(ctx context.Context, id api.LeaseID, generation uint64) (string, bool) {
	token, ok := t.take(id, generation)
	if ok {
		return token, true
	}
	t.mu.Lock()
	coming := t.coming[id]
	t.mu.Unlock()
	if coming != nil {
		late := time.NewTimer(comeTime)
		defer late.Stop()
		select {
		case <-coming:
		case <-late.C:
		case <-ctx.Done():
		}
	}
	return t.take(id, generation)
}

func (t *tokens) take(id api.LeaseID, generation uint64) (string, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	h, ok := t.held[id]
	if !ok || h.generation != generation {
		return "", false
	}
	delete(t.held, id)
	return h.token, true
}

// mints are the questions to cells that wait for their answer.
type mints struct {
	mu   sync.Mutex
	open map[string]asked
}

// asked is a question that waits for the answer of the cell it was put to.
type asked struct {
	cell   api.CellID
	answer chan api.Minted // holds one
}

func newMints() *mints { return &mints{open: map[string]asked{}} }

func (m *mints) ask(id string, cell api.CellID) <-chan api.Minted {
	m.mu.Lock()
	defer m.mu.Unlock()
	a := asked{cell, make(chan api.Minted, 1)}
	m.open[id] = a
	return a.answer
}

func (m *mints) forget(id string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.open, id)
}

func (m *mints) answer(from api.CellID, a api.Minted) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if q, ok := m.open[a.AskID]; ok && q.cell == from {
		q.answer <- a
		delete(m.open, a.AskID)
	}
}
