package main

import (
	"errors"
	"os"
	"syscall"
	"time"
)

// disk prints what one durable 4 KiB append costs here: the floor under every commit.
func (b *bench) disk() {
	const n = 200
	took, err := appends(n)
	if err != nil {
		b.say("disk: %v", err)
		return
	}
	b.say("disk: fdatasync of a 4 KiB append: %s", spread(took))
}

func appends(n int) (took []time.Duration, err error) {
	f, err := os.CreateTemp("", "grafos-bench-disk-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close(), os.Remove(f.Name())) }()
	page := make([]byte, 4096)
	for range n {
		began := time.Now()
		if _, err := f.Write(page); err != nil {
			return nil, err
		}
		if err := syscall.Fdatasync(int(f.Fd())); err != nil {
			return nil, err
		}
		took = append(took, time.Since(began))
	}
	return took, nil
}
