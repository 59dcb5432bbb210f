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
	n.fake.hold = true
	n.fake.together = &barrier{of: 2}
	request := func() error {
		_, err := dial(t, api.RoleTenant, n).RequestLeases(t.Context(), aLease(), api.WriteOptions{})
		return err
	}
	decided := make(chan error, 1)
	go func() { decided <- request() }()
	for _, err := range dial(t, api.RoleCell, n).Watch(t.Context(), "aws", "aws-1", api.WatchRequest{}) {
		if err == nil {
			stop() // the session has said its one thing: it would go on for ever
		}
	}
	select {
	case err := <-decided:
		t.Fatalf("what was being decided ended with the streams: %v", err)
	default:
	}
	if err := request(); err != nil { // the other one that it waits for
		t.Error(err)
	}
	if err := <-decided; err != nil {
		t.Error(err)
	}
}
