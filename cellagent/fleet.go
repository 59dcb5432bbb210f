package cellagent

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

// fleetTimeout bounds a call that any scheduler may answer, with all its repetitions.
const fleetTimeout = 30 * time.Second

// fleet reaches any of the schedulers that are known at the time: for what needs no session.
type fleet struct {
	dial   Dialer
	roster *roster

	mu     sync.Mutex
	urls   []string
	fabric Fabric
}

// get returns a Fabric over the schedulers that are known now.
func (f *fleet) get() (Fabric, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	urls := f.roster.all()
	if f.fabric != nil && slices.Equal(urls, f.urls) {
		return f.fabric, nil
	}
	next, err := f.dial(urls, fleetTimeout, 0)
	if err != nil {
		return nil, fmt.Errorf("dial schedulers: %w", err)
	}
	last := f.fabric
	f.fabric, f.urls = next, urls
	if last != nil {
		return next, errors.Join(last.Close()) // what is under way on it goes on
	}
	return next, nil
}

// forget has the next call go over a new connection.
func (f *fleet) forget() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	last := f.fabric
	f.fabric, f.urls = nil, nil
	if last == nil {
		return nil
	}
	return last.Close() // what is under way on it goes on
}

// close closes the connections.
func (f *fleet) close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.fabric == nil {
		return nil
	}
	err := f.fabric.Close()
	f.fabric = nil
	return err
}
