package blob

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/api/clock"
)

// Attempts of one replica: a peer that was just restarted gets another chance before the
// put fails for want of it.
const (
	replicaTries = 3
	replicaPause = 200 * time.Millisecond
)

// Put stores size bytes of r under their digest and returns when a quorum of schedulers has
// them on disk; the others get them meanwhile, or until ReplicaTime is over. Refusals are
// those of PutLocal, and outcome_unknown when no quorum took them: then repeating it is right.
func (s *Store) Put(ctx context.Context, d api.Digest, size int64, r io.Reader) error {
	if err := s.checkPut(d, size); err != nil {
		return err
	}
	return s.fly(ctx, flightKey{d, flyPut}, func(ctx context.Context) error {
		if err := s.PutLocal(ctx, d, size, r); err != nil {
			return err
		}
		return s.replicate(ctx, d)
	})
}

// replicate copies the local blob to the others and returns when a quorum has it.
func (s *Store) replicate(ctx context.Context, d api.Digest) error {
	others, need := s.c.Peers.Others(), s.c.Quorum()-1
	answers := make(chan error, len(others)) // room for all: nobody waits for a reader that left
	for _, node := range others {
		if !s.begin(func() { answers <- s.replica(d, node) }) {
			return errClosed()
		}
	}
	var last error
	left := len(others)
	for need > 0 {
		if left < need {
			return later(api.Refuse(api.OutcomeUnknown, "blob %s is on too few schedulers: %d more would have to take it (%v)", d, need, last).
				WithHint("repeat it when the other schedulers are back"))
		}
		select {
		case err := <-answers:
			left--
			if err == nil {
				need--
			} else {
				last = err
			}
		case <-ctx.Done():
			return fmt.Errorf("wait for the blob's replicas: %w", context.Cause(ctx))
		}
	}
	return nil
}

// replica copies the local blob to node. It belongs to the store, not to the put: a caller
// that has its quorum, or that left, does not end it.
func (s *Store) replica(d api.Digest, node api.NodeID) error {
	ctx, cancel := context.WithTimeout(s.run, s.c.ReplicaTime)
	defer cancel()
	var err error
	for try := range replicaTries {
		if try > 0 && !clock.Sleep(ctx, time.Duration(try)*replicaPause) {
			break
		}
		if err = s.sendOnce(ctx, d, node); err == nil {
			return nil
		}
	}
	s.c.Log.Warn("blob not replicated", "digest", d, "node_id", node, "error", err)
	return fmt.Errorf("replicate to %s: %w", node, err)
}

func (s *Store) sendOnce(ctx context.Context, d api.Digest, node api.NodeID) error {
	r, size, err := s.GetLocal(d)
	if err != nil {
		return err
	}
	defer r.Close() //nolint:errcheck // it was only read
	return s.c.Peers.PutReplica(ctx, node, d, size, r)
}

// later says when to repeat what a scheduler that is down stood in the way of.
func later(e *api.Error) *api.Error {
	e.RetryAfterMs = 500
	return e
}

// Get opens a blob: this scheduler's copy, or one that is fetched from another first,
// verified and kept. not_found means that a quorum does not have it, so that no put of it
// was ever answered; while fewer say so, it is outcome_unknown.
func (s *Store) Get(ctx context.Context, d api.Digest) (io.ReadCloser, int64, error) {
	if err := api.CheckDigest(d); err != nil {
		return nil, 0, err
	}
	if !s.HasLocal(d) {
		if err := s.fly(ctx, flightKey{d, flyFetch}, func(ctx context.Context) error { return s.fetch(ctx, d) }); err != nil {
			return nil, 0, err
		}
	}
	return s.GetLocal(d)
}

// fetch brings the blob here from the first scheduler that has it whole.
func (s *Store) fetch(ctx context.Context, d api.Digest) error {
	without, silent := 1, error(nil) // this one is without
	for _, node := range s.c.Peers.Others() {
		err := s.fetchFrom(ctx, d, node)
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return fmt.Errorf("fetch blob: %w", context.Cause(ctx))
		case api.KindOf(err) == api.NotFound:
			without++
		default:
			s.c.Log.Warn("blob not fetched", "digest", d, "node_id", node, "error", err)
			silent = fmt.Errorf("%s: %w", node, err)
		}
	}
	if without < s.c.Quorum() {
		return later(api.Refuse(api.OutcomeUnknown, "blob %s is on no scheduler that answered, and too few did (%v)", d, silent))
	}
	return api.Refuse(api.NotFound, "blob %s is on no scheduler", d)
}

func (s *Store) fetchFrom(ctx context.Context, d api.Digest, node api.NodeID) error {
	ctx, cancel := context.WithTimeout(ctx, s.c.ReplicaTime)
	defer cancel()
	r, size, err := s.c.Peers.GetReplica(ctx, node, d)
	if err != nil {
		return err
	}
	defer r.Close() //nolint:errcheck // it was only read
	return s.PutLocal(ctx, d, size, r)
}

// Has reports whether a quorum of schedulers has the blob. They are asked at the same time;
// the first answers that decide are enough. While too few answer it is outcome_unknown.
func (s *Store) Has(ctx context.Context, d api.Digest) (bool, error) {
	if err := api.CheckDigest(d); err != nil {
		return false, err
	}
	quorum, with, without := s.c.Quorum(), 0, 0
	count := func(err error) {
		switch {
		case err == nil:
			with++
		case api.KindOf(err) == api.NotFound:
			without++
		}
	}
	ctx, cancel := context.WithTimeout(ctx, s.c.ReplicaTime)
	defer cancel()
	others := s.c.Peers.Others()
	answers := make(chan error, len(others)) // room for all: nobody waits for a reader that left
	for _, node := range others {
		if !s.begin(func() { answers <- s.ask(ctx, d, node) }) {
			return false, errClosed()
		}
	}
	if s.HasLocal(d) {
		with++
	} else {
		without++
	}
	for left := len(others); left > 0 && with < quorum && without < quorum; left-- {
		count(<-answers)
	}
	if with < quorum && without < quorum {
		return false, later(api.Refuse(api.OutcomeUnknown, "too few schedulers say whether they have blob %s: %d do, %d do not", d, with, without))
	}
	return with >= quorum, nil
}

// ask returns nil when node has the blob.
func (s *Store) ask(ctx context.Context, d api.Digest, node api.NodeID) error {
	r, _, err := s.c.Peers.GetReplica(ctx, node, d)
	if err != nil {
		return fmt.Errorf("ask %s: %w", node, err)
	}
	return r.Close()
}
