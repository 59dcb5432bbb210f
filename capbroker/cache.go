package capbroker

import "sync"

// cacheHalf bounds one half of a cache.
const cacheHalf = 4096

// cache remembers tokens whose signature was verified. It holds at most twice cacheHalf of
// them: what was not asked for while a half filled is forgotten. Only what was proved gets in,
// so that junk pushes nothing out.
type cache struct {
	mu         sync.RWMutex
	young, old map[string]*Verified
}

func newCache() *cache { return &cache{young: map[string]*Verified{}} }

// find returns what is known of a token, or nil.
func (c *cache) find(token string) *Verified {
	c.mu.RLock()
	v, young := c.young[token]
	if !young {
		v = c.old[token]
	}
	c.mu.RUnlock()
	if v != nil && !young {
		c.keep(v)
	}
	return v
}

// keep remembers a token.
func (c *cache) keep(v *Verified) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.young) >= cacheHalf {
		c.young, c.old = make(map[string]*Verified, cacheHalf), c.young
	}
	c.young[v.text] = v
}
