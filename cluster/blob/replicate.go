package blob

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/grafos/grafos/api"
)

// copyTime bounds one copy to or from a peer.
const copyTime = 2 * time.Minute

// Put stores the blob here and on peers, and returns when a quorum has it on disk. Slower
// peers get it in the background.
func (s *Store) Put(ctx context.Context, d api.Digest, size int64, r io.Reader) error {
	if err := s.PutLocal(ctx, d, size, r); err != nil {
		return err
	}
	need := s.cfg.Quorum() - 1
	peers := s.cfg.Peers.Others()
	if len(peers) < need {
		return s.fewer(d, need+1, len(peers)+1, nil)
	}
	done := make(chan error, len(peers))
	for _, n := range peers {
		s.wg.Go(func() { done <- s.copyTo(n, d, size) })
	}
	have, errs := 0, []error{}
	for range peers {
		if have >= need {
			break
		}
		select {
		case err := <-done:
			if err == nil {
				have++
			} else {
				errs = append(errs, err)
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if have < need {
		return s.fewer(d, need+1, have+1, errors.Join(errs...))
	}
	return nil
}

func (s *Store) fewer(d api.Digest, need, have int, cause error) *api.Error {
	if cause != nil {
		s.cfg.Log.Warn("blob not replicated", "digest", string(d), "error", cause)
	}
	e := api.Refuse(api.NoLeader, "blob %s is on %d schedulers: a quorum of %d must have it", d, have, need).
		WithHint("repeat it when more schedulers run")
	e.RetryAfterMs = 500
	return e
}

func (s *Store) copyTo(n api.NodeID, d api.Digest, size int64) error {
	ctx, cancel := context.WithTimeout(s.ctx, copyTime)
	defer cancel()
	f, _, err := s.GetLocal(d)
	if err != nil {
		return err
	}
	return errors.Join(s.cfg.Peers.PutReplica(ctx, n, d, size, f), f.Close())
}

// Has reports whether a quorum has the blob, as far as that can be told from here: this
// node does, since it then was put or fetched whole. Otherwise it is looked for.
func (s *Store) Has(ctx context.Context, d api.Digest) (bool, error) {
	if s.HasLocal(d) {
		return true, nil
	}
	err := s.fetch(ctx, d)
	if api.KindOf(err) == api.NotFound {
		return false, nil
	}
	return err == nil, err
}

// Get opens the blob: this node's copy, or one that it fetches from a peer and keeps.
func (s *Store) Get(ctx context.Context, d api.Digest) (io.ReadCloser, int64, error) {
	if err := api.CheckDigest(d); err != nil {
		return nil, 0, err
	}
	if !s.HasLocal(d) {
		if err := s.fetch(ctx, d); err != nil {
			return nil, 0, err
		}
	}
	return s.GetLocal(d)
}

// fetch brings the blob here; readers that come together share one download.
func (s *Store) fetch(ctx context.Context, d api.Digest) error {
	s.mu.Lock()
	f, running := s.fetches[d]
	if !running {
		f = &flight{done: make(chan struct{})}
		s.fetches[d] = f
		s.wg.Go(func() {
			f.err = s.download(d)
			s.mu.Lock()
			delete(s.fetches, d)
			s.mu.Unlock()
			close(f.done)
		})
	}
	s.mu.Unlock()
	select {
	case <-f.done:
		return f.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *Store) download(d api.Digest) error {
	ctx, cancel := context.WithTimeout(s.ctx, copyTime)
	defer cancel()
	var errs []error
	for _, n := range s.cfg.Peers.Others() {
		body, size, err := s.cfg.Peers.GetReplica(ctx, n, d)
		if err == nil {
			err = errors.Join(s.PutLocal(ctx, d, size, body), body.Close())
		}
		if err == nil {
			return nil
		}
		if api.KindOf(err) != api.NotFound {
			errs = append(errs, err)
		}
	}
	if len(errs) > 0 {
		s.cfg.Log.Warn("blob not fetched", "digest", string(d), "error", errors.Join(errs...))
		return api.Refuse(api.NoLeader, "blob %s is not here and could not be fetched from every scheduler", d).WithHint("repeat it")
	}
	return api.Refuse(api.NotFound, "no scheduler has blob %s", d)
}
