package server

import (
	"context"
	"testing"

	"github.com/grafos/grafos/api"
)

// TestStopping: a scheduler that stops ends its streams, and answers what it is deciding.
func TestStopping(t *testing.T) {
	stopping, stop := context.WithCancel(t.Context())
	defer stop()
	n := start(t, func(c *Config) { c.Stopping = stopping })
	began, release := make(chan struct{}, 64), make(chan struct{})
	n.fake.hold = true
	n.fake.hook = func(ctx context.Context, call string) error {
		if call != "RequestLeases" {
			return nil
		}
		began <- struct{}{}
		select {
		case <-release:
			return nil
		case <-ctx.Done():
			return api.Refuse(api.Conflict, "it was cut off")
		}
	}
	decided := make(chan error, 1)
	go func() {
		_, err := dial(t, api.RoleTenant, n).RequestLeases(t.Context(), aLease(), api.WriteOptions{})
		decided <- err
	}()
	<-began
	for _, err := range dial(t, api.RoleCell, n).Watch(t.Context(), "aws", "aws-1", api.WatchRequest{}) {
		if err == nil {
			stop() // the session has said its one thing: it would go on for ever
		}
	}
	close(release)
	if err := <-decided; err != nil {
		t.Error(err)
	}
}
