package cellagent

import (
	"context"
	"errors"
	"sync"

	"github.com/grafos/grafos/api"
)

// link is one scheduler and the connection to it. A standby that is promoted keeps its link,
// which is what makes it warm.
type link struct {
	url    string
	fabric Fabric
}

// watch is one open session on a link.
type watch struct {
	*link
	standby bool
	live    bool  // it has delivered something
	began   int64 // on the cell's clock
	cancel  context.CancelFunc
	// over is closed when the session has ended, for whoever talks on its link.
	over chan struct{}
}

// news is what happened on a watch: a message, or its end.
type news struct {
	watch *watch
	set   api.Desired
	ended bool
	err   error // why it ended; nil where the scheduler just closed it
}

// watcher opens sessions and brings their news to one channel.
type watcher struct {
	clock    Clock
	provider api.ProviderID
	cell     api.CellID
	news     chan news
	wg       sync.WaitGroup
}

// open starts a session. What it brings comes as news until it has ended or is dropped.
func (w *watcher) open(ctx context.Context, l *link, r api.WatchRequest) *watch {
	ctx, cancel := context.WithCancel(ctx)
	s := &watch{link: l, standby: r.Standby, began: w.clock.Now(), cancel: cancel, over: make(chan struct{})}
	w.wg.Go(func() {
		defer cancel()
		defer close(s.over)
		w.follow(ctx, s, r)
	})
	return s
}

func (w *watcher) follow(ctx context.Context, s *watch, r api.WatchRequest) {
	var ended error
	for set, err := range s.fabric.Watch(ctx, w.provider, w.cell, r) {
		if err != nil {
			ended = err
			break
		}
		if !w.tell(ctx, news{watch: s, set: set}) {
			return
		}
		if set.Closing != "" {
			ended = errors.New("scheduler closes the session: " + set.Closing)
			break
		}
	}
	w.tell(ctx, news{watch: s, ended: true, err: ended})
}

// tell brings news unless the session was dropped meanwhile: then nobody wants them.
func (w *watcher) tell(ctx context.Context, n news) bool {
	select {
	case w.news <- n:
		return true
	case <-ctx.Done():
		return false
	}
}
