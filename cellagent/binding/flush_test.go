package binding

import (
	"errors"
	"sync"
	"testing"
	"testing/synctest"
)

// Those who come while a flush is under way share the next one, and nobody is told of one that began
// before they came. Once one has failed all after it fail: they may have shared a page with it.
func TestFlushesAreShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var f flusher
		var mu sync.Mutex
		began, held := 0, make(chan struct{})
		broken := errors.New("the disk")
		call := func() error {
			mu.Lock()
			began++
			n := began
			mu.Unlock()
			<-held
			if n == 2 {
				return broken
			}
			return nil
		}
		calls := func() int {
			synctest.Wait()
			mu.Lock()
			defer mu.Unlock()
			return began
		}
		var wg sync.WaitGroup
		wg.Go(func() {
			if err := f.do(call); err != nil {
				t.Error(err)
			}
		})
		if calls() != 1 {
			t.Fatal("the first did not begin at once")
		}
		for range 16 {
			wg.Go(func() {
				if err := f.do(call); !errors.Is(err, broken) {
					t.Errorf("got %v, want what the shared one said", err)
				}
			})
		}
		if n := calls(); n != 1 {
			t.Fatalf("%d flushes at a time", n)
		}
		held <- struct{}{}
		if n := calls(); n != 2 {
			t.Fatalf("%d flushes began, want one more for all who waited", n)
		}
		wg.Go(func() { // too late for the second
			if err := f.do(call); !errors.Is(err, broken) {
				t.Errorf("a flush after one that failed: %v, want what that one said", err)
			}
		})
		synctest.Wait()
		held <- struct{}{}
		wg.Wait()
		if err := f.do(call); !errors.Is(err, broken) {
			t.Errorf("the block has failed, and a flush later: %v", err)
		}
		if n := calls(); n != 2 {
			t.Errorf("%d flushes began, want none after one that failed", n)
		}
	})
}

// A flush that comes while the one before it is under way begins after it has ended.
func TestLateFlush(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var f flusher
		held, began := make(chan struct{}), 0 // one call at a time
		call := func() error {
			began++
			<-held
			return nil
		}
		var wg sync.WaitGroup
		for want := 1; want <= 2; want++ {
			wg.Go(func() {
				if err := f.do(call); err != nil {
					t.Error(err)
				}
			})
			synctest.Wait()
			if began != 1 {
				t.Fatalf("%d flushes at a time", began)
			}
		}
		held <- struct{}{}
		synctest.Wait()
		if began != 2 {
			t.Fatalf("%d flushes began, want a second one for who came late", began)
		}
		held <- struct{}{}
		wg.Wait()
	})
}
