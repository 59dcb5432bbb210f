package client

import (
	"net/http"
	"sync/atomic"
	"time"

	"github.com/grafos/grafos/api"
)

// Client is the api services over HTTP. It is safe for concurrent use.
type Client struct {
	config    Config
	urls      []string
	current   atomic.Uint32 // index into urls of the scheduler that answered last
	transport *http.Transport
	streams   http.RoundTripper // transport, but in tests
	wires     *wires
	// attempts bounds the tries of a call; 0 is as many as fit into the time.
	attempts int
	// patience is for how long a cell is asked again that cannot be; 0 is all the call's time.
	patience time.Duration
}

// Client offers everything that a user and a cell can ask.
var (
	_ api.Services  = (*Client)(nil)
	_ api.CellAgent = (*Client)(nil)
	_ api.Peers     = (*Peer)(nil)
)

// New returns a client of the schedulers in c. It opens no connection yet.
func New(c Config) (*Client, error) {
	urls, err := c.check()
	if err != nil {
		return nil, err
	}
	patience := cellPatience
	if c.Timeout != 0 {
		patience = 0 // the caller said how long to wait
	}
	c = c.withDefaults()
	t := newTransport(c)
	return &Client{config: c, urls: urls, transport: t, streams: t, wires: newWires(t, c), patience: patience}, nil
}

// At returns a client of other schedulers that shares the connections and credentials of c;
// closing either closes the connections of both.
func (c *Client) At(urls ...string) (*Client, error) {
	config := c.config
	config.URLs = urls
	bases, err := config.check()
	if err != nil {
		return nil, err
	}
	return &Client{config: config, urls: bases, transport: c.transport, streams: c.streams, wires: c.wires, patience: c.patience}, nil
}

// URL returns the scheduler that the next call begins with: the one that answered last.
func (c *Client) URL() string { return c.urls[int(c.current.Load())%len(c.urls)] }

// Close closes the idle connections. Calls that are under way go on.
func (c *Client) Close() error {
	c.transport.CloseIdleConnections()
	c.wires.close()
	return nil
}

// next makes the scheduler after the one that failed the first choice, unless another call
// did so already.
func (c *Client) next(failed string) {
	i := c.current.Load()
	if len(c.urls) > 1 && c.urls[int(i)%len(c.urls)] == failed {
		c.current.CompareAndSwap(i, (i+1)%uint32(len(c.urls)))
	}
}
