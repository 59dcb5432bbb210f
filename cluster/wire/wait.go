package wire

import (
	"context"
	"errors"
	"io"
	"time"
)

// wait sleeps for d and reports whether ctx is still alive.
func wait(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// closeQuietly closes what is given up anyway: its error would say nothing new.
func closeQuietly(c io.Closer) { _ = c.Close() }

func joinClose(err error, c io.Closer) error { return errors.Join(err, c.Close()) }
