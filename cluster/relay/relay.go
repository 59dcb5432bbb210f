package relay

import (
	"context"
	"io"
	"sync"

	"github.com/grafos/grafos/api"
)

const (
	// most bounds the operations that are open, perCell those of one cell.
	most    = 512
	perCell = 64
)

// Table is the open operations. It is safe for concurrent use.
type Table struct {
	mu   sync.Mutex
	open map[string]*Operation
	per  map[api.CellID]int
}

// New returns a table without operations.
func New() *Table { return &Table{open: map[string]*Operation{}, per: map[api.CellID]int{}} }

// Operation is one that is under way.
type Operation struct {
	table *Table
	id    string
	cell  api.CellID

	body    io.Reader // of a write; taken once
	answers chan api.RelayAnswer
	done    chan struct{} // closed by Close
	once    sync.Once
}

// ID names the operation; its cell is told.
func (o *Operation) ID() string { return o.id }

// Open begins an operation of a cell; whoever began it closes it. body is what is to be written.
func (t *Table) Open(id string, cell api.CellID, body io.Reader) (*Operation, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.open) >= most || t.per[cell] >= perCell {
		busy := api.Refuse(api.Overloaded, "%d operations are under way through this scheduler, %d of them to cell %s", len(t.open), t.per[cell], cell).
			WithHint("go straight to the cell, or repeat it a little later")
		busy.RetryAfterMs = 50
		return nil, busy
	}
	o := &Operation{table: t, id: id, cell: cell, body: body, answers: make(chan api.RelayAnswer, 1), done: make(chan struct{})}
	t.open[id] = o
	t.per[cell]++
	return o, nil
}

// Close ends an operation: what its cell still brings is refused.
func (o *Operation) Close() {
	o.once.Do(func() {
		close(o.done)
		o.table.mu.Lock()
		defer o.table.mu.Unlock()
		delete(o.table.open, o.id)
		if o.table.per[o.cell]--; o.table.per[o.cell] == 0 {
			delete(o.table.per, o.cell)
		}
	})
}

// Wait returns the cell's answer. Its body is to be read before Close.
func (o *Operation) Wait(ctx context.Context) (api.RelayAnswer, error) {
	select {
	case a := <-o.answers:
		return a, nil
	case <-ctx.Done():
		return api.RelayAnswer{}, api.Refuse(api.OutcomeUnknown, "cell %s did not answer in time", o.cell).
			WithHint("a read may be repeated, and so may a write of the same bytes")
	}
}

// find returns an operation of a cell.
func (t *Table) find(cell api.CellID, id string) (*Operation, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	o, ok := t.open[id]
	if !ok || o.cell != cell {
		return nil, api.Refuse(api.NotFound, "no operation %.40q of cell %s is under way here", id, cell)
	}
	return o, nil
}

// Body gives the cell what is to be written, once.
func (t *Table) Body(cell api.CellID, id string) (io.Reader, error) {
	o, err := t.find(cell, id)
	if err != nil {
		return nil, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	body := o.body
	o.body = nil
	if body == nil {
		return nil, api.Refuse(api.Conflict, "operation %.40q has nothing to write, or it was fetched before", id)
	}
	return body, nil
}

// Answer takes the cell's answer, once, and returns when whoever waits for it has read it.
func (t *Table) Answer(ctx context.Context, cell api.CellID, id string, a api.RelayAnswer) error {
	o, err := t.find(cell, id)
	if err != nil {
		return err
	}
	select {
	case o.answers <- a:
	default:
		return api.Refuse(api.Conflict, "operation %.40q was answered before", id)
	}
	select {
	case <-o.done:
		return nil
	case <-ctx.Done():
		o.Close()
		return ctx.Err()
	}
}
