package main

import (
	"context"
	"errors"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// fakeVictim is a cluster of three whose writes take 5 ms, but for those that find no leader:
// they wait for it, or fail.
type fakeVictim struct {
	from, to time.Duration // without a leader, after the fault
	fail     bool
	slow     time.Duration // how long the fault takes to finish

	mu      sync.Mutex
	struck  time.Time // guarded by mu
	written []int     // guarded by mu
	mended  int
}

var errNobody = errors.New("nobody leads")

func (*fakeVictim) leader(context.Context) (int, error) { return 1, nil }

func (v *fakeVictim) signal(int, syscall.Signal) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.struck = time.Now()
	return nil
}

func (v *fakeVictim) write(ctx context.Context, member int) error {
	v.mu.Lock()
	v.written = append(v.written, member)
	struck := v.struck
	v.mu.Unlock()
	if since := time.Since(struck); !struck.IsZero() && since >= v.from && since < v.to {
		if v.fail {
			return errNobody
		}
		if err := pause(ctx, v.to-since); err != nil {
			return err
		}
	}
	return pause(ctx, 5*time.Millisecond)
}

func (v *fakeVictim) writeAnywhere(ctx context.Context) error { return v.write(ctx, 0) }

func (v *fakeVictim) mend(context.Context, int, bool) error { v.mended++; return nil }

func (*fakeVictim) settle(context.Context) error { return nil }

// TestStrike: next and silence of a leader that is gone at once, and of one that hands over.
func TestStrike(t *testing.T) {
	tests := []struct {
		name          string
		v             func() *fakeVictim
		next, silence time.Duration
		failed        bool
	}{
		{"killed", func() *fakeVictim { return &fakeVictim{to: 300 * time.Millisecond} }, 305 * time.Millisecond, 305 * time.Millisecond, false},
		// The last write before the gap begins at 40 ms; the old leader answers it at 45 ms.
		{"hands over", func() *fakeVictim { return &fakeVictim{from: 50 * time.Millisecond, to: 120 * time.Millisecond} }, 5 * time.Millisecond, 80 * time.Millisecond, false},
		{"refuses", func() *fakeVictim { return &fakeVictim{to: 200 * time.Millisecond, fail: true} }, 205 * time.Millisecond, 205 * time.Millisecond, true},
		{"hands over slowly", func() *fakeVictim {
			return &fakeVictim{from: 50 * time.Millisecond, to: 120 * time.Millisecond, slow: 2 * time.Second}
		}, 5 * time.Millisecond, 80 * time.Millisecond, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				v := tt.v()
				o, err := strike(t.Context(), v, fault{begin: func(ctx context.Context, _ victim, leader int) (func() error, error) {
					return func() error { return pause(ctx, v.slow) }, v.signal(leader, syscall.SIGKILL)
				}})
				if err != nil {
					t.Fatal(err)
				}
				if o.next != tt.next || o.silence != tt.silence || (o.failed > 0) != tt.failed {
					t.Errorf("next %s, silence %s, %d failed: %v", o.next, o.silence, o.failed, o.first)
				}
				if v.mended != 1 {
					t.Errorf("mended %d times", v.mended)
				}
				for _, m := range v.written {
					if m == 1 {
						t.Error("the leader that was to be struck was asked")
					}
				}
			})
		})
	}
}

// TestSlice: the rounds make up all of it.
func TestSlice(t *testing.T) {
	for _, n := range []int{0, 1, 5, 7, 10, 50} {
		sum := 0
		for r := range rounds {
			sum += slice(n, r)
		}
		if sum != n {
			t.Errorf("%d faults were done, want %d", sum, n)
		}
	}
}
