package client

import (
	"net"
	"net/http"
	"time"
)

const (
	dialTimeout = 3 * time.Second
	// A stopped process still has its connections accepted by its kernel: where there is
	// another scheduler to ask, it is not waited for long.
	handshakeTimeout = 5 * time.Second
	impatient        = 1500 * time.Millisecond
	idleConnTimeout  = 90 * time.Second
	maxIdlePerHost   = 32
	maxHeaderBytes   = 64 << 10
)

// newTransport returns the connections of one client: HTTP/2 where the scheduler speaks it,
// kept alive, and probed when they are silent, so that a stopped process is not waited for.
func newTransport(c Config) *http.Transport {
	dialer := &net.Dialer{Timeout: dialTimeout, KeepAlive: 15 * time.Second}
	t := &http.Transport{
		DialContext:            dialer.DialContext,
		ForceAttemptHTTP2:      true,
		TLSHandshakeTimeout:    handshakeTimeout,
		IdleConnTimeout:        idleConnTimeout,
		MaxIdleConnsPerHost:    maxIdlePerHost,
		MaxResponseHeaderBytes: maxHeaderBytes,
		// Answers are small or already compressed.
		DisableCompression: true,
		HTTP2:              &http.HTTP2Config{SendPingTimeout: c.Ping, PingTimeout: c.Ping},
	}
	if c.Dial != nil {
		t.DialContext = c.Dial
	}
	if len(c.URLs) > 1 {
		t.TLSHandshakeTimeout = impatient
	}
	if c.TLS != nil {
		t.TLSClientConfig = c.TLS.Clone()
	}
	return t
}
