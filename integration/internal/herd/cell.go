package herd

import (
	"context"
	"crypto/tls"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/api/client"
)

const (
	// reportTime bounds a report, openTime the opening of a session: as an agent's are.
	reportTime = 5 * time.Second
	openTime   = 2 * time.Second
	warmTime   = 3 * time.Second // over a connection that is there
	// retryFirst and retryMost are the first and the longest wait between two tries.
	retryFirst = 100 * time.Millisecond
	retryMost  = 3 * time.Second
	// givesUp is after how many reports in a row that failed another scheduler is tried.
	givesUp = 2
)

// cell is one simulated cell. All of it belongs to the goroutine in run.
type cell struct {
	herd   *Herd
	id     api.CellID
	agent  string
	tls    *tls.Config
	roster []string
	news   chan news
	wg     sync.WaitGroup // of its sessions

	epoch     uint64
	heartbeat time.Duration
	seen      uint64
	seq       uint64
	known     bool // its inventory was taken
	held      map[api.LeaseID]uint64
	due       api.Report // what is to be said beside the heartbeat
	failures  int

	active, standby *session
	avoid           string // the address that failed last
	tries, warmings int
	turn            chan func() // its turn to open a standby has come, and this is what ends it
	waiting         bool        // for that turn
	reopen, rewarm  *time.Timer
	beat            *time.Timer
}

// session is a watch on the connection to one scheduler.
type session struct {
	url     string
	client  *client.Client
	standby bool
	live    bool
	cancel  context.CancelFunc
}

// news is a message of a session, or its end.
type news struct {
	session *session
	set     api.Desired
	ended   bool
	err     error
}

// run is the cell's life, to the end of ctx.
func (c *cell) run(ctx context.Context) error {
	c.reopen, c.rewarm, c.beat = idle(), idle(), idle()
	ctx, cancel := context.WithCancel(ctx)
	defer c.end(cancel)
	if err := c.register(ctx); err != nil {
		return err
	}
	c.herd.registered.Add(1)
	defer c.herd.registered.Add(-1)
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case n := <-c.news:
			c.hear(ctx, n)
		case <-c.reopen.C:
			c.connect(ctx)
		case <-c.rewarm.C:
			c.warm(ctx)
		case give := <-c.turn:
			c.waiting = false
			c.spare(ctx, give)
		case <-c.beat.C:
			c.report(ctx)
		}
	}
}

func idle() *time.Timer {
	t := time.NewTimer(time.Hour)
	t.Stop()
	return t
}

// end drops everything and waits for it.
func (c *cell) end(cancel context.CancelFunc) {
	cancel()
	for _, s := range []*session{c.active, c.standby} {
		if s != nil {
			c.drop(s)
		}
	}
	c.wg.Wait()
	for _, t := range []*time.Timer{c.reopen, c.rewarm, c.beat} {
		t.Stop()
	}
}

// wait is how long to wait before the n-th try, with jitter.
func wait(n int) time.Duration {
	d := min(retryFirst<<min(n, 5), retryMost)
	return d/2 + rand.N(d)
}

// register registers the cell, however often that takes, and opens its session on the same connection.
func (c *cell) register(ctx context.Context) error {
	for n := 0; ; n++ {
		url := c.other(c.avoid)
		k, err := c.dial(url)
		if err != nil {
			return err
		}
		a, err := c.announce(ctx, k)
		if err == nil {
			c.epoch, c.heartbeat = a.Epoch, time.Duration(a.HeartbeatMs)*time.Millisecond
			c.learn(a.Schedulers)
			c.open(ctx, url, k, false, openTime, atOnce)
			return nil
		}
		if err = whole(err, k); ctx.Err() != nil {
			return err
		}
		c.avoid = url
		c.herd.note(err)
		pause(ctx, wait(n))
	}
}

// announce registers the cell at one scheduler.
func (c *cell) announce(ctx context.Context, k *client.Client) (*api.RegisterAnswer, error) {
	give, ok := c.herd.take(ctx, false)
	if !ok {
		return nil, ctx.Err()
	}
	defer give()
	return k.Register(ctx, api.RegisterRequest{
		Provider: c.herd.config.Provider, CellID: c.id, Agent: c.agent, BrokerKey: brokerKey, DataURL: dataURL, Version: "herd",
	})
}

const (
	brokerKey = "0000000000000000000000000000000000000000000000000000000000000007"
	dataURL   = "https://127.0.0.1:1"
)

func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

func (c *cell) shuffled() []string {
	urls := append([]string(nil), c.roster...)
	rand.Shuffle(len(urls), func(i, j int) { urls[i], urls[j] = urls[j], urls[i] })
	return urls
}

// learn takes the schedulers that live for those that there are.
func (c *cell) learn(urls []string) {
	if len(urls) > 0 {
		c.roster = urls
	}
}

// other picks a scheduler by chance that is none of those, or any one where there is no other.
func (c *cell) other(than ...string) string {
	urls := c.shuffled()
	for _, u := range urls {
		if !slices.Contains(than, u) {
			return u
		}
	}
	return urls[0]
}

// connect opens an active session, unless there is one.
func (c *cell) connect(ctx context.Context) {
	if c.active != nil {
		return
	}
	url := c.other(c.avoid)
	k, err := c.dial(url)
	if err != nil {
		c.herd.note(err)
		c.reopen.Reset(wait(c.tries))
		return
	}
	c.open(ctx, url, k, false, openTime, c.inTurn(ctx))
}

// warm waits for the turn to open a standby, unless there is one. Where to is said when the turn has come:
// until then the schedulers may be others.
func (c *cell) warm(ctx context.Context) {
	if c.standby != nil || c.waiting {
		return
	}
	c.waiting = true
	c.wg.Go(func() {
		give, ok := c.herd.take(ctx, true)
		if !ok {
			return
		}
		select {
		case c.turn <- give:
		case <-ctx.Done():
			give()
		}
	})
}

// spare opens a standby, unless there is one or nothing that it would stand in for.
func (c *cell) spare(ctx context.Context, give func()) {
	if c.standby != nil {
		give()
		return
	}
	if c.active == nil || len(c.roster) < 2 {
		give()
		c.cool()
		return
	}
	url := c.other(c.active.url, c.avoid)
	if url == c.active.url || url == c.avoid {
		if url = c.other(c.active.url); url == c.active.url {
			give()
			c.cool()
			return
		}
	}
	k, err := c.dial(url)
	if err != nil {
		give()
		c.herd.note(err)
		return
	}
	c.open(ctx, url, k, true, openTime, func() (func(), bool) { return give, true })
}

// open begins a session on a connection, when its turn has come, and gives up after a time.
func (c *cell) open(life context.Context, url string, k *client.Client, standby bool, within time.Duration, turn func() (give func(), ok bool)) {
	ctx, cancel := context.WithCancel(life)
	s := &session{url: url, client: k, standby: standby, cancel: cancel}
	if standby {
		c.standby = s
	} else {
		c.active = s
	}
	r := api.WatchRequest{Epoch: c.epoch, After: c.seen, Standby: standby, NoEcho: true}
	c.wg.Go(func() {
		defer cancel()
		give, ok := turn()
		if !ok {
			return
		}
		late := time.AfterFunc(within, func() {
			if standby {
				c.herd.lateStandby.Add(1)
			} else {
				c.herd.lateActive.Add(1)
			}
			cancel()
		})
		opened := func() {
			late.Stop()
			give()
		}
		defer opened()
		var ended error
		for set, err := range k.Watch(ctx, c.herd.config.Provider, c.id, r) {
			if err != nil {
				ended = err
				break
			}
			opened()
			if !c.tell(ctx, news{session: s, set: set}) || set.Closing != "" {
				break
			}
		}
		c.tell(life, news{session: s, ended: true, err: ended})
	})
}

// atOnce is the turn of a session on a connection that is there.
func atOnce() (give func(), ok bool) { return func() {}, true }

// inTurn is that of an active session that needs a connection.
func (c *cell) inTurn(ctx context.Context) func() (give func(), ok bool) {
	return func() (func(), bool) { return c.herd.take(ctx, false) }
}

func (c *cell) tell(ctx context.Context, n news) bool {
	select {
	case c.news <- n:
		return true
	case <-ctx.Done():
		return false
	}
}

// hear handles news; those of a session that was dropped are ignored.
func (c *cell) hear(ctx context.Context, n news) {
	s := n.session
	if s != c.active && s != c.standby {
		return
	}
	if n.ended {
		if n.err != nil && ctx.Err() == nil {
			c.herd.note(n.err)
			if s.live {
				c.herd.cut.Add(1)
			} else {
				c.herd.refused.Add(1)
			}
		}
		if s == c.active {
			c.lost(ctx)
			return
		}
		c.standby = nil
		c.drop(s)
		c.warmings++
		c.cool()
		return
	}
	c.learn(n.set.Schedulers)
	if first := !s.live; first {
		s.live = true
		c.opened(s)
	}
	if s == c.active {
		c.take(n.set)
		if len(c.due.Bound)+len(c.due.Ended) > 0 {
			c.beat.Reset(0)
		}
	}
	if c.standby == nil && c.warmings == 0 {
		c.warm(ctx)
	}
}

// opened is what the first message of a session does.
func (c *cell) opened(s *session) {
	if s.standby {
		c.herd.standby.Add(1)
		c.warmings = 0
		return
	}
	c.herd.active.Add(1)
	c.tries, c.failures = 0, 0
	c.beat.Reset(0) // a new session hears everything at once
}

// lost is what happens when the active session is gone: the standby takes its place.
func (c *cell) lost(ctx context.Context) {
	s := c.active
	c.active = nil
	c.avoid = s.url
	if s.live {
		c.herd.lost.Add(1)
	}
	c.drop(s)
	if warm := c.standby; warm != nil {
		c.standby = nil
		warm.cancel()
		if warm.live {
			c.herd.standby.Add(-1)
		}
		turn, within := atOnce, warmTime
		if !warm.live {
			turn, within = c.inTurn(ctx), openTime
		}
		c.open(ctx, warm.url, warm.client, false, within, turn)
		c.cool()
		return
	}
	if c.tries++; c.tries == 1 {
		c.connect(ctx)
		return
	}
	c.reopen.Reset(wait(c.tries))
}

// cool has another standby opened after a while: with those of the whole fleet, spread over some heartbeats.
func (c *cell) cool() {
	c.rewarm.Reset(wait(c.warmings) + rand.N(max(api.StandbyBeats*c.heartbeat, 1)))
}

// drop ends a session and its connection.
func (c *cell) drop(s *session) {
	s.cancel()
	if s.live {
		if s.standby {
			c.herd.standby.Add(-1)
		} else {
			c.herd.active.Add(-1)
		}
	}
	if err := s.client.Close(); err != nil {
		c.herd.note(err)
	}
}
