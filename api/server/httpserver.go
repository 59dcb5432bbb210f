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
	// maxKept is up to how many connections, of both protocols, one of HTTP/1.1 is kept for the
	// next request: a program may have many of those.
	maxKept  = 4096
	pingTime = 15 * time.Second
)

// HTTPServer returns the server of h: HTTP/2 and bounded in every time and size but that of
// a stream. Streams end when the context that BaseContext returns does; whoever shuts the
// server down ends it first. Its connections are noted in open.
func HTTPServer(h http.Handler, t *tls.Config, open *Connections, log hclog.Logger) *http.Server {
	return &http.Server{
		Handler:           &keeper{next: h, most: maxKept, open: open},
		ConnState:         open.note,
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

// keeper keeps connections of HTTP/1.1 as long as there are not too many.
type keeper struct {
	next http.Handler
	most int64
	open *Connections
}

// ServeHTTP answers, and lets the connection end with the answer where there are too many.
func (k *keeper) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.ProtoMajor == 1 && k.open.Len() > k.most {
		w.Header().Set("Connection", "close")
	}
	k.next.ServeHTTP(w, r)
}
