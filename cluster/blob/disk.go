package blob

import (
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"

	"github.com/grafos/grafos/api"
)

// disk is what a blob is written through, so that tests can fail one step of it.
type disk interface {
	create(dir string) (file, error)
	syncDir(dir string) error
}

// file is a file that is being written.
type file interface {
	io.WriteCloser
	Sync() error
	Name() string
}

type osDisk struct{}

func (osDisk) create(dir string) (file, error) { return os.CreateTemp(dir, "put-*") }

func (osDisk) syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// diskError gives a failed write its kind: a full disk is overloaded, all else is a fault.
func diskError(err error) error {
	if errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) {
		return api.Refuse(api.Overloaded, "the disk of the scheduler is full: %v", err).
			WithHint("free space on it, or delete what refers to old blobs")
	}
	return fmt.Errorf("write blob: %w", err)
}
