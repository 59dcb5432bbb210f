package cellagent

import (
	"encoding/binary"
	"io"
	"math/rand/v2"
	"slices"
	"sync"
)

// maxSchedulers bounds the addresses that are kept.
const maxSchedulers = 32

// roster knows where the schedulers are: those that the cluster named last, and those that
// the operator configured, for the case that none of the others is there any more.
type roster struct {
	mu         sync.Mutex
	random     *rand.Rand // guarded by mu
	configured []string
	learned    []string
}

func newRoster(configured []string, random io.Reader) *roster {
	var seed [16]byte
	_, _ = io.ReadFull(random, seed[:]) // a bad seed only spreads worse
	r := &roster{
		configured: slices.Clone(configured),
		random:     rand.New(rand.NewPCG(binary.BigEndian.Uint64(seed[:8]), binary.BigEndian.Uint64(seed[8:]))), //nolint:gosec // it spreads load, it keeps no secret
	}
	r.random.Shuffle(len(r.configured), func(i, j int) {
		r.configured[i], r.configured[j] = r.configured[j], r.configured[i]
	})
	return r
}

// learn takes the addresses of the live schedulers from a message; none is no news. The order
// of what is known already is kept, so that cells stay spread over the schedulers.
func (r *roster) learn(urls []string) (changed bool) {
	if len(urls) == 0 {
		return false
	}
	urls = slices.Clone(urls[:min(len(urls), maxSchedulers)])
	r.mu.Lock()
	defer r.mu.Unlock()
	next := slices.DeleteFunc(slices.Clone(r.learned), func(u string) bool { return !slices.Contains(urls, u) })
	fresh := slices.DeleteFunc(urls, func(u string) bool { return u == "" || slices.Contains(next, u) })
	r.random.Shuffle(len(fresh), func(i, j int) { fresh[i], fresh[j] = fresh[j], fresh[i] })
	next = slices.Compact(append(next, fresh...))
	changed = !slices.Equal(next, r.learned)
	r.learned = next
	return changed
}

// all returns every address, the learned ones first.
func (r *roster) all() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := slices.Clone(r.learned)
	for _, u := range r.configured {
		if !slices.Contains(all, u) {
			all = append(all, u)
		}
	}
	return all
}

// after returns the address to try after failed, avoiding taken where there is another. A
// configured address may be another name of a scheduler that is known by its own, so
// that live asks for learned ones only, where there are any.
func (r *roster) after(failed, taken string, live bool) (string, bool) {
	urls := r.all()
	if live {
		r.mu.Lock()
		if len(r.learned) > 0 {
			urls = slices.Clone(r.learned)
		}
		r.mu.Unlock()
	}
	if i := slices.Index(urls, failed); i >= 0 {
		urls = slices.Concat(urls[i+1:], urls[:i+1])
	}
	for _, u := range urls {
		if u != taken {
			return u, true
		}
	}
	return "", false
}
