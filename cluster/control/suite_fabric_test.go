package control

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/cluster/conformance"
)

// TestWhoseFaultItIs: what a scheduler cannot do is not held against the cell, and what a cell answers or
// leaves undone is, whatever kind it has.
func TestWhoseFaultItIs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		epoch := r.cell("c1")
		r.grant()
		rec, _ := r.m.View().Cell("c1")
		f, acme := &suiteFabric{r.c, rec}, r.acme()
		const id = "l-1-cpu"
		is := func(what string, err error, cells bool) {
			t.Helper()
			marked := fmt.Sprintf("%T", err) == fmt.Sprintf("%T", conformance.NotTheCells(api.Refuse(api.Internal, "any")))
			if err == nil || marked == cells {
				t.Errorf("%s: %T %v", what, err, err)
			}
		}
		read := api.DataRequest{Lease: id, Token: "t", Length: 4}
		_, err := f.LeaseData(acme, read)
		is("no session", err, false)
		_, err = f.Renew(acme, id, time.Minute)
		is("a renewal that is not tried", err, false)
		stop := r.carrying(epoch)
		r.beat("c1", epoch, 1)
		_, err = f.Renew(acme, id, time.Minute)
		is("a renewal that the cell does not apply", err, true)
		write := api.DataRequest{Lease: id, Write: true, Token: "stale", Length: 1, Body: strings.NewReader("x")}
		_, err = f.LeaseData(acme, write)
		is("a refusal of the cell", err, true)
		for i := range 200 {
			if _, err := r.c.relays.Open(fmt.Sprint(i), "c1", nil); err != nil {
				break
			}
		}
		_, err = f.LeaseData(acme, read)
		is("no room at the scheduler", err, false)
		stop()
		r.beat("c1", epoch, 2)
		r.set(func() { r.lose = 1 })
		_, err = f.Renew(acme, id, time.Minute)
		is("a renewal that is not decided", err, false)
		r.set(func() { r.lose = 1 })
		is("a release that is not decided", f.Free(acme, id), false)
		r.set(func() { r.lose = 1 })
		is("a revocation that is not decided", f.Revoke(acme, id), false)
		r.set(func() { r.lose = 1 })
		_, err = f.Lease(acme, cpu(100))
		is("a lease that is not decided", err, false)
		r.set(func() { r.lose = 9 })
		_, err = f.Execute(acme, conformance.Work{Module: []byte("module"), Resources: api.Resources{CPU: 100}, TTL: time.Minute})
		is("a module that is not kept", err, false)
		r.set(func() { r.lose = 0 })
		if err := f.Revoke(acme, id); err != nil {
			t.Error(err)
		}
		_, err = f.LeaseData(acme, read)
		is("a lease that has ended", err, true)
	})
}
