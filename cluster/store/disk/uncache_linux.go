package disk

import (
	"os"

	"golang.org/x/sys/unix"
)

// Uncache tells the system that nobody is about to read f, which is on the disk: its pages are
// there for what is written next. It is advice: nothing depends on what the system makes of it.
//
// Without it a file that only grows takes a new page of memory for every 4 KiB. In a virtual
// machine whose host gives pages when they are first touched, and takes free ones back, that costs
// far more than to write what is in them.
func Uncache(f *os.File) {
	_ = unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED) // a file system that does not know it is as before
}
