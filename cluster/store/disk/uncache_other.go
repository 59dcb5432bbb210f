//go:build !linux

package disk

import "os"

// Uncache does nothing where the system takes no such advice.
func Uncache(*os.File) {}
