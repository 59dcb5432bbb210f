//go:build !unix

package client

import "net"

// silent would look whether a connection has nothing to be read; here a call finds out.
func silent(net.Conn) bool { return true }
