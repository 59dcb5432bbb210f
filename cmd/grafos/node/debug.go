package node

import (
	"context"
	"net"
	"net/http"
	"net/http/pprof"
	"sync"
	"time"
)

// debugServer serves Go's profiles on a loopback address. They tell nothing of tenants, but
// everything of the process, so they never leave the host.
type debugServer struct {
	http http.Server
	wg   sync.WaitGroup
}

// openDebug serves until Close; an empty address serves nothing.
func openDebug(ctx context.Context, bind string) (*debugServer, error) {
	d := &debugServer{}
	if bind == "" {
		return d, nil
	}
	if err := checkDebug(bind); err != nil {
		return nil, err
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", bind)
	if err != nil {
		return nil, listens("debug-bind", bind, err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	d.http.Handler, d.http.ReadHeaderTimeout = mux, 5*time.Second
	d.wg.Go(func() { _ = d.http.Serve(listener) }) // ends with Close
	return d, nil
}

// Close ends the server and waits for it.
func (d *debugServer) Close() error {
	err := d.http.Close()
	d.wg.Wait()
	return err
}
