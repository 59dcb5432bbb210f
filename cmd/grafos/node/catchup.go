package node

import (
	"context"
	"io"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/cluster"
	"github.com/grafos/grafos/cluster/blob"
	"github.com/grafos/grafos/cluster/store"
	"github.com/grafos/grafos/fsm"
)

// catchUp fetches what the log does not bring: blobs that were put while this scheduler was
// not there, and the audit records before its first snapshot. A scheduler has no vote before
// it holds them, since a quorum vouches for them too.
type catchUp struct {
	machine *fsm.Machine
	audit   *store.Audit
	log     hclog.Logger

	mu      sync.Mutex
	index   uint64 // guarded by mu: of the state that was looked at last; 0 is none yet
	missing int    // guarded by mu: what was not here then
}

const (
	// catchEvery is how often a scheduler that misses something looks, healEvery how often one
	// that does not.
	catchEvery = time.Second
	healEvery  = 30 * time.Second
	// catchPage bounds the blobs that are looked up at once.
	catchPage = 1024
	// stale is how many entries later an old look says nothing any more.
	stale = 256
)

// Behind is how much is missing; at least 1 while that was not looked at.
func (c *catchUp) Behind() int {
	index := c.machine.View().Index()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.index == 0 || index > c.index+stale {
		return max(c.missing, 1)
	}
	return c.missing
}

// forked takes that the state was recovered or restored: its audit chain may go on from an
// earlier record than the newest that is kept here.
func (c *catchUp) forked(epoch uint64, tail []api.AuditRecord) error {
	c.mu.Lock()
	c.index = 0 // what was found missing was another chain's
	c.mu.Unlock()
	if err := c.audit.Fork(epoch); err != nil {
		return err
	}
	return c.audit.Append(tail)
}

// run looks and fetches until ctx ends.
func (c *catchUp) run(ctx context.Context, node *cluster.Node, blobs *blob.Store) {
	last := time.Time{}
	every(ctx, catchEvery, func() {
		if c.Behind() == 0 && voter(node) && time.Since(last) < healEvery {
			return
		}
		last = time.Now()
		v := c.machine.View()
		missing := c.fetchBlobs(ctx, v, blobs) + c.fetchAudit(ctx, v, node)
		if ctx.Err() != nil || v.Index() == 0 {
			return
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		c.index, c.missing = v.Index(), missing
	})
}

// voter reports whether this scheduler has a vote.
func voter(node *cluster.Node) bool {
	for _, p := range node.Peers() {
		if p.Node == node.ID() {
			return p.Voter
		}
	}
	return false
}

// fetchBlobs brings what is not here and returns how many could not be brought. One that no
// quorum has is nobody's promise.
func (c *catchUp) fetchBlobs(ctx context.Context, v *fsm.View, blobs *blob.Store) (missing int) {
	for page := v.Digests("", catchPage); len(page) > 0; page = v.Digests(page[len(page)-1], catchPage) {
		for _, d := range page {
			if ctx.Err() != nil || blobs.HasLocal(d) {
				continue
			}
			r, _, err := blobs.Get(ctx, d)
			if err == nil {
				err = closeReader(r)
			}
			if err != nil && api.KindOf(err) != api.NotFound {
				missing++
				c.log.Debug("blob not fetched yet", "digest", string(d), "error", err)
			}
		}
	}
	return missing
}

func closeReader(r io.Closer) error { return r.Close() }

// fetchAudit brings the records that a snapshot skipped, newest first, as the store proves
// them, and returns how many are still to come.
func (c *catchUp) fetchAudit(ctx context.Context, v *fsm.View, node *cluster.Node) (missing int) {
	if head := v.AuditHead(); c.audit.Head().Sequence < head.Sequence {
		// A gap is known by the record after it: the state names that one.
		c.ask(ctx, node, api.AuditFilter{From: head.Sequence, To: head.Sequence, Limit: 1}, func(recs []api.AuditRecord) error {
			if recs[0].Sequence != head.Sequence || recs[0].Hash != head.Hash {
				return api.Refuse(api.Conflict, "it has another record %d than the state", head.Sequence)
			}
			return c.audit.Append(recs)
		})
	}
	for {
		from, to, gap := c.audit.Missing()
		if !gap {
			break
		}
		recalled, err := c.audit.Recall()
		if err != nil {
			c.log.Warn("audit records that were set aside refused", "error", err)
		}
		if recalled {
			continue
		}
		if !c.ask(ctx, node, api.AuditFilter{From: from, To: to, Limit: store.MaxBackfill}, c.audit.Backfill) {
			return int(to - from + 1)
		}
	}
	if have, head := c.audit.Head().Sequence, v.AuditHead().Sequence; have < head {
		return int(head - have)
	}
	return 0
}

// ask asks the other schedulers for records until take is content with what one of them sent.
func (c *catchUp) ask(ctx context.Context, node *cluster.Node, f api.AuditFilter, take func([]api.AuditRecord) error) bool {
	for _, id := range node.Others() {
		peer, err := node.Peer(id)
		if err != nil {
			continue
		}
		page, err := peer.AuditReplica(ctx, f)
		if err != nil || len(page.Records) == 0 {
			continue
		}
		if err := take(page.Records); err != nil {
			c.log.Warn("audit records of a peer refused", "scheduler", string(id), "error", err)
			continue
		}
		return true
	}
	return false
}
