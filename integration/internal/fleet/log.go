package fleet

import (
	"fmt"
	"io"
	"os"
)

// maxTail bounds what is read of a log at once.
const maxTail = 1 << 20

// LogSize is how long the node's log is now: a mark for LogSince.
func (n *Node) LogSize() int64 {
	info, err := os.Stat(n.Log)
	if err != nil {
		return 0
	}
	return info.Size()
}

// LogSince returns what the node logged after a mark.
func (n *Node) LogSince(mark int64) (string, error) {
	f, err := os.Open(n.Log)
	if err != nil {
		return "", fmt.Errorf("read log of %s: %w", n.Name, err)
	}
	defer f.Close() //nolint:errcheck // it is only read
	if _, err := f.Seek(mark, io.SeekStart); err != nil {
		return "", fmt.Errorf("read log of %s: %w", n.Name, err)
	}
	b, err := io.ReadAll(io.LimitReader(f, maxTail))
	if err != nil {
		return "", fmt.Errorf("read log of %s: %w", n.Name, err)
	}
	return string(b), nil
}
