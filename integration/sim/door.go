package sim

import (
	"bufio"
	"context"
	"encoding/json"
	"net"
	"net/http"
	"sync"

	"github.com/grafos/grafos/api"
)

// door is where a cell's data plane is reached: its connections are pipes in memory.
type door struct {
	conns chan net.Conn
	once  sync.Once
	end   chan struct{}
}

func newDoor() *door { return &door{conns: make(chan net.Conn), end: make(chan struct{})} }

// Accept waits for whoever comes, or for the end.
func (d *door) Accept() (net.Conn, error) {
	select {
	case c := <-d.conns:
		return c, nil
	case <-d.end:
		return nil, net.ErrClosed
	}
}

// Close is the end.
func (d *door) Close() error {
	d.once.Do(func() { close(d.end) })
	return nil
}

// Addr is none.
func (d *door) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 7500} }

// read reads the first byte of a lease's binding with a token, as its holder does. No time goes
// by: the way there and back is the network's. The refusal is nil where the cell has served it.
func (d *door) read(ctx context.Context, id api.LeaseID, token string) (*api.Error, error) {
	near, far := net.Pipe()
	defer near.Close() //nolint:errcheck // everything was read
	select {
	case d.conns <- far:
	case <-d.end:
		return nil, errRefused
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	hangUp := context.AfterFunc(ctx, func() { _ = near.Close() })
	defer hangUp()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://cell/v1/leases/"+string(id)+"?length=1", http.NoBody)
	if err != nil {
		return nil, err
	}
	r.Header.Set("Authorization", "Bearer "+token)
	r.Close = true
	if err := r.Write(near); err != nil {
		return nil, err
	}
	a, err := http.ReadResponse(bufio.NewReader(near), r)
	if err != nil {
		return nil, err
	}
	defer a.Body.Close() //nolint:errcheck // nothing of it is wanted any more
	if a.StatusCode == http.StatusOK {
		return nil, nil
	}
	var refusal api.Error
	if err := json.NewDecoder(a.Body).Decode(&refusal); err != nil {
		return nil, err
	}
	return &refusal, nil
}
