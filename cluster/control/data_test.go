package control

import (
	"context"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/grafos/grafos/api"
)

// carrying holds the session of cell c1 and brings what it is asked for: of a read the bytes "read",
// of a write what it fetched, as its nonce. stop ends it.
func (r *rig) carrying(epoch uint64) (stop func()) {
	ctx, cancel := context.WithCancel(r.t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for d, err := range r.c.Watch(ctx, "aws", "c1", api.WatchRequest{Epoch: epoch}) {
			if err != nil {
				return
			}
			for _, a := range d.Asks {
				if a.Data == nil {
					continue
				}
				answer := api.RelayAnswer{Length: 4, Nonce: a.Data.Proof, Body: strings.NewReader("read")}
				if a.Data.Write {
					body, err := r.c.RelayBody(ctx, "c1", a.ID)
					if err != nil {
						r.t.Error(err)
						return
					}
					got, err := io.ReadAll(body)
					answer = api.RelayAnswer{Nonce: string(got)}
					if err != nil || a.Data.Token == "stale" {
						answer = api.RelayAnswer{Problem: api.Refuse(api.StaleGeneration, "renewed")}
					}
				}
				if err := r.c.RelayAnswer(ctx, "c1", a.ID, answer); err != nil {
					r.t.Error(err)
				}
			}
		}
	}()
	synctest.Wait()
	return func() {
		cancel()
		<-done
	}
}

// What a scheduler carries is for the lease's owner, goes to its cell, and ends in time where
// nobody answers.
func TestLeaseData(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		epoch := r.cell("c1")
		r.grant()
		acme, other := r.acme(), api.WithCaller(t.Context(), api.Caller{Role: api.RoleTenant, Name: "other"})
		read := api.DataRequest{Lease: "l-1-cpu", Token: "t", Proof: "p", Length: 4}
		_, err := r.c.LeaseData(acme, read)
		r.wantKind("without a session", err, api.OutcomeUnknown)

		stop := r.carrying(epoch)
		_, err = r.c.LeaseData(other, read)
		r.wantKind("another tenant's", err, api.NotFound)
		r.set(func() { r.follows = true }) // any scheduler carries it
		_, err = r.c.LeaseData(other, read)
		r.wantKind("another tenant's, through a follower", err, api.NotFound)
		unknown := read
		unknown.Lease = "l-9"
		_, err = r.c.LeaseData(acme, unknown)
		r.wantKind("what does not exist, through a follower", err, api.NotFound)
		r.set(func() { r.follows = false })
		long := read
		long.Length = api.MaxRelay + 1
		_, err = r.c.LeaseData(acme, long)
		r.wantKind("too long", err, api.TooLarge)
		a, err := r.c.LeaseData(acme, read)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(a.Body); err != nil || string(got) != "read" || a.Length != 4 || a.Nonce != "p" {
			t.Errorf("read %q, %+v, %v", got, a, err)
		}
		if err := a.Body.Close(); err != nil {
			t.Error(err)
		}
		write := api.DataRequest{Lease: "l-1-cpu", Write: true, Token: "t", Length: 5, Body: strings.NewReader("bytes")}
		if a, err := r.c.LeaseData(acme, write); err != nil || a.Nonce != "bytes" || a.Body != nil {
			t.Errorf("wrote %+v, %v", a, err)
		}
		write.Token, write.Body = "stale", strings.NewReader("bytes")
		_, err = r.c.LeaseData(acme, write)
		r.wantKind("what the cell refuses", err, api.StaleGeneration)
		stop()

		silent := r.answerAsks(epoch, "t") // it brings no answers to operations
		began := time.Now()
		_, err = r.c.LeaseData(acme, read)
		r.wantKind("a silent cell", err, api.OutcomeUnknown)
		if took := time.Since(began); took != relayWait {
			t.Errorf("waited %s", took)
		}
		silent()
		for i := range 200 { // nothing is left of those that ended
			if _, err := r.c.relays.Open(string(rune('a'+i)), "c1", nil); api.KindOf(err) == api.Overloaded {
				if i != 64 {
					t.Errorf("%d operations fit beside what is left", i)
				}
				return
			}
		}
	})
}
