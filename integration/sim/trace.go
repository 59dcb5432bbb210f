package sim

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"sync"
	"time"
)

// trace is everything that happened, in order, as a hash.
type trace struct {
	began time.Time
	out   io.Writer // the lines themselves; nil is nobody

	mu    sync.Mutex
	sum   hash.Hash // guarded by mu
	lines int       // guarded by mu
}

func newTrace(began time.Time, out io.Writer) *trace {
	return &trace{began: began, out: out, sum: sha256.New()}
}

// add notes one thing, with the time since the world began.
func (t *trace) add(format string, args ...any) {
	line := fmt.Sprintf("%d "+format+"\n", append([]any{time.Since(t.began)}, args...)...)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.sum.Write([]byte(line))
	t.lines++
	if t.out != nil {
		_, _ = io.WriteString(t.out, line) // it is for reading along
	}
}

// hash is over all that was noted.
func (t *trace) hash() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return hex.EncodeToString(t.sum.Sum(nil))
}
