package node

import (
	"context"
	"net"
	"net/http"
	"net/http/pprof"
	"time"

	"github.com/grafos/grafos/api"
)

// serveDebug serves Go's profiles on a loopback address. They tell nothing of tenants, but
// everything of the process, so they never leave the host.
func (n *scheduler) serveDebug(ctx context.Context, bind string) error {
	host, _, err := net.SplitHostPort(bind)
	if err != nil {
		return api.Refuse(api.InvalidArgument, "--debug-bind is %q: it must be host:port", bind)
	}
	if ip := net.ParseIP(host); ip == nil || !ip.IsLoopback() {
		return api.Refuse(api.InvalidArgument, "--debug-bind is %q: profiles are served on a loopback address only", bind)
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", bind)
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	n.undo = append(n.undo, server.Close)
	n.wg.Go(func() {
		<-ctx.Done()
		_ = server.Close() // closed again, to no effect, with the rest
	})
	n.wg.Go(func() { _ = server.Serve(listener) }) // ends with Close
	return nil
}
