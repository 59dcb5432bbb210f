package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"
)

// request is one line of input. What it must hold depends on Do.
type request struct {
	ID uint64 `json:"id"`
	Do string `json:"do"`
	// Endpoint is the member of one operation, Endpoints those of a load.
	Endpoint  string   `json:"endpoint,omitempty"`
	Endpoints []string `json:"endpoints,omitempty"`
	// Outstanding is how many operations of a load wait at a time, over Conns connections.
	Outstanding int   `json:"outstanding,omitempty"`
	Conns       int   `json:"conns,omitempty"`
	WarmMs      int64 `json:"warm_ms,omitempty"`
	WindowMs    int64 `json:"window_ms,omitempty"`
	TimeoutMs   int64 `json:"timeout_ms,omitempty"`
}

// answer is one line of output.
type answer struct {
	ID      uint64 `json:"id"`
	Problem string `json:"problem,omitempty"`
	Leads   bool   `json:"leads,omitempty"`
	// TookUs are the latencies of a load's operations that ended in its window.
	TookUs   []uint32 `json:"took_us,omitempty"`
	WindowUs int64    `json:"window_us,omitempty"`
	Done     int      `json:"done,omitempty"`
	Failed   int      `json:"failed,omitempty"`
	First    string   `json:"first,omitempty"` // the first failure
}

// serve hands every request to do, each on a goroutine of its own, until the input ends or
// ctx does, and returns when all are answered.
func serve(ctx context.Context, in io.Reader, out io.Writer, do func(context.Context, request) (answer, error)) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	lines := make(chan request)
	failed := make(chan error, 1)
	go func() { // ends with the input, which ends with the process that started this one
		defer close(lines)
		dec := json.NewDecoder(bufio.NewReader(in))
		for {
			var r request
			if err := dec.Decode(&r); err != nil {
				if !errors.Is(err, io.EOF) {
					failed <- fmt.Errorf("read requests: %w", err)
				}
				return
			}
			select {
			case lines <- r:
			case <-ctx.Done():
				return
			}
		}
	}()
	var mu sync.Mutex
	enc := json.NewEncoder(out)
	var wg sync.WaitGroup
	defer wg.Wait()
	for {
		select {
		case <-ctx.Done():
			return nil
		case r, ok := <-lines:
			if !ok {
				cancel()
				select {
				case err := <-failed:
					return err
				default:
					return nil
				}
			}
			wg.Go(func() {
				a, err := do(ctx, r)
				a.ID = r.ID
				if err != nil {
					a.Problem = err.Error()
				}
				mu.Lock()
				defer mu.Unlock()
				_ = enc.Encode(a) // whoever asked is gone when this fails, and the input ends
			})
		}
	}
}

// load keeps r.Outstanding operations waiting for the time of r, and tells the latencies of
// those that ended in its window. op is told which worker runs it and for which time.
func load(ctx context.Context, r request, op func(ctx context.Context, worker, n int) error) answer {
	warm, window := time.Duration(r.WarmMs)*time.Millisecond, time.Duration(r.WindowMs)*time.Millisecond
	ctx, cancel := context.WithTimeout(ctx, warm+window+30*time.Second)
	defer cancel()
	began := time.Now()
	var mu sync.Mutex
	a := answer{WindowUs: window.Microseconds()}
	var wg sync.WaitGroup
	for w := range r.Outstanding {
		wg.Go(func() {
			var took []uint32
			done := 0
			for n := 0; time.Since(began) < warm+window; n++ {
				at := time.Now()
				err := op(ctx, w, n)
				end := time.Since(began)
				if err != nil {
					mu.Lock()
					if a.Failed++; a.Failed == 1 {
						a.First = err.Error()
					}
					mu.Unlock()
					select {
					case <-time.After(10 * time.Millisecond):
					case <-ctx.Done():
					}
					continue
				}
				if done++; end >= warm && end < warm+window {
					took = append(took, uint32(time.Since(at).Microseconds()))
				}
			}
			mu.Lock()
			defer mu.Unlock()
			a.Done += done
			a.TookUs = append(a.TookUs, took...)
		})
	}
	wg.Wait()
	return a
}
