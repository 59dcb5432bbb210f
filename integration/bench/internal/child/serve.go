package child

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
)

// Serve is the child's side: it hands every request of in to do, each on a goroutine of its
// own, and returns when in has ended or ctx has, and all are answered.
func Serve(ctx context.Context, in io.Reader, out io.Writer, do func(context.Context, Request) (Answer, error)) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	requests, failed := make(chan Request), make(chan error, 1)
	go func() { // ends with the input at the latest
		defer close(requests)
		failed <- readAll(ctx, in, requests)
	}()
	var mu sync.Mutex
	enc := json.NewEncoder(out)
	var wg sync.WaitGroup
	defer wg.Wait()
	for {
		select {
		case <-ctx.Done():
			return nil
		case r, ok := <-requests:
			if !ok {
				cancel()
				return <-failed
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

func readAll(ctx context.Context, in io.Reader, to chan<- Request) error {
	dec := json.NewDecoder(bufio.NewReader(in))
	for {
		var r Request
		if err := dec.Decode(&r); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return fmt.Errorf("read requests: %w", err)
		}
		select {
		case to <- r:
		case <-ctx.Done():
			return nil
		}
	}
}
