package node

import (
	"bytes"
	"sync"
)

// ringBytes bounds the log lines that are kept in memory.
const ringBytes = 1 << 20

// logRing keeps the newest lines of a log.
type logRing struct {
	mu    sync.Mutex
	lines [][]byte // guarded by mu: oldest first
	size  int      // guarded by mu
}

// Write takes one line; a logger writes each with one call.
func (r *logRing) Write(line []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lines = append(r.lines, bytes.Clone(line))
	r.size += len(line)
	gone := 0
	for ; r.size > ringBytes && gone < len(r.lines); gone++ {
		r.size -= len(r.lines[gone])
	}
	if gone > 0 {
		r.lines = append(r.lines[:0:0], r.lines[gone:]...)
	}
	return len(line), nil
}

// text returns the lines.
func (r *logRing) text() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return string(bytes.Join(r.lines, nil))
}
