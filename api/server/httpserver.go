package server

import (
	"crypto/tls"
	"net/http"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/grafos/grafos/api"
)

// The bounds of the listener. A stream and a blob set deadlines of their own.
const (
	readHeaderTime = 10 * time.Second
	idleTime       = 2 * time.Minute
	// answerTime is longer than the longest blocking read.
	answerTime     = api.MaxWait + requestTime + 30*time.Second
	maxHeaderBytes = 64 << 10
	maxStreams     = 1000
	pingTime       = 15 * time.Second
)

// HTTPServer returns the server of h: HTTP/2 and bounded in every time and size but that of
// a stream. Streams end when the context that BaseContext returns does; whoever shuts the
// server down ends it first.
func HTTPServer(h http.Handler, t *tls.Config, log hclog.Logger) *http.Server {
	return &http.Server{
		Handler:           h,
		ConnContext:       onConnection,
		TLSConfig:         t,
		ReadHeaderTimeout: readHeaderTime,
		IdleTimeout:       idleTime,
		WriteTimeout:      answerTime,
		MaxHeaderBytes:    maxHeaderBytes,
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams: maxStreams, SendPingTimeout: pingTime, PingTimeout: pingTime,
		},
		// Handshakes that fail are the other side's business, and common.
		ErrorLog: log.StandardLogger(&hclog.StandardLoggerOptions{ForceLevel: hclog.Debug}),
	}
}
