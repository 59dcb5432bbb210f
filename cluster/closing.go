package cluster

import (
	"errors"
	"io"
)

// closeQuietly closes what is given up anyway: its error would say nothing new.
func closeQuietly(c io.Closer) { _ = c.Close() }

func joinClose(err error, c io.Closer) error { return errors.Join(err, c.Close()) }
