package cellagent

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"io"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/api/clock"
	"github.com/grafos/grafos/capbroker/pki"
)

const (
	// renewLook is between two looks at the wall clock: it may be set, and stands in suspend.
	renewLook = time.Minute
	// renewFirst and renewMost are the first and the longest wait after a renewal that failed.
	renewFirst = time.Second
	renewMost  = time.Minute
	// renewSpread is the part of a certificate's life over which a fleet that was started at once
	// spreads its renewals, and renewApart the part that is between two renewals at least, also where
	// the clocks of cell and scheduler are far apart.
	renewSpread = 10
	renewApart  = 20
)

// Identity is the cell's certificate and key as the host keeps them: a pki.Keyring.
type Identity interface {
	// Certificate returns the leaf, PEM, with when it was issued and when it ends.
	Certificate() (leafPEM []byte, issued, ends time.Time)
	// Request makes a certificate request: of a new key, or of the one that there is.
	Request(fresh bool) ([]byte, error)
	// Accept keeps a certificate of the newest request for good, and uses it from then on.
	Accept(certPEM, caPEM []byte) error
}

var _ Identity = (*pki.Keyring)(nil)

// renewal has the cell's certificate renewed at half of its life, with a new key. One that has ended,
// after an outage, is renewed with its own key.
type renewal struct {
	provider api.ProviderID
	cell     api.CellID
	identity Identity
	fleet    *fleet
	wall     func() time.Time
	// bind has the schedulers take the new key for the cell's; it repeats that until it is so. Then
	// ways drops the other connections of the key before, which is refused soon, and reopen has the
	// sessions opened anew.
	bind   func(context.Context) error
	ways   func() error
	reopen func()
	spread float64 // of this cell, from 0 to 1
	// lost is why a certificate that has ended is never renewed; nil is that it may be.
	lost atomic.Pointer[api.Error]
	log  hclog.Logger
}

// spreadOf draws a cell's place in the spread.
func spreadOf(random io.Reader) float64 {
	var b [2]byte
	_, _ = io.ReadFull(random, b[:]) // without chance all cells come at once: no harm to any
	return float64(binary.BigEndian.Uint16(b[:])) / (1 << 16)
}

// run renews until ctx ends.
func (r *renewal) run(ctx context.Context) {
	retry := newRetry()
	retry.InitialInterval, retry.MaxInterval = renewFirst, renewMost
	retry.Reset()
	for {
		wait := min(r.left(), renewLook)
		if wait <= 0 {
			if err := r.renew(ctx); err != nil {
				if ctx.Err() != nil {
					return
				}
				wait = retry.NextBackOff()
				_, _, ends := r.identity.Certificate()
				r.log.Warn("certificate not renewed", hinted(err, "ends", ends, "wait", wait)...)
			} else {
				retry.Reset()
				wait = r.apart()
			}
		}
		if !clock.Sleep(ctx, wait) {
			return
		}
	}
}

// left is for how long the certificate need not be renewed yet.
func (r *renewal) left() time.Duration {
	_, issued, ends := r.identity.Certificate()
	life := ends.Sub(issued)
	due := issued.Add(life/2 + time.Duration(r.spread*float64(life/renewSpread)))
	return due.Sub(r.wall())
}

func (r *renewal) apart() time.Duration {
	_, issued, ends := r.identity.Certificate()
	return ends.Sub(issued) / renewApart
}

// renew asks for a certificate, keeps it before anything else is done with it, and uses it.
func (r *renewal) renew(ctx context.Context) error {
	leaf, _, ends := r.identity.Certificate()
	lapsed := !r.wall().Before(ends)
	csr, err := r.identity.Request(!lapsed)
	if err != nil {
		return err
	}
	fabric, err := r.fleet.get()
	if err != nil {
		return err
	}
	var answer *api.BootstrapAnswer
	if lapsed {
		answer, err = fabric.Bootstrap(ctx, api.BootstrapRequest{Certificate: string(leaf), Provider: r.provider, CellID: r.cell, CSR: string(csr)})
		err = r.refused(ends, err)
	} else {
		answer, err = fabric.RenewIdentity(ctx, r.provider, r.cell, api.RenewalRequest{CSR: string(csr)})
	}
	if err != nil {
		return err
	}
	if err := r.identity.Accept([]byte(answer.Certificate), []byte(answer.CA)); err != nil {
		return err
	}
	r.lost.Store(nil)
	if err := r.fleet.forget(); err != nil {
		r.log.Debug("close connections of the certificate before", "error", err)
	}
	err = r.bind(ctx)
	if err := r.ways(); err != nil {
		r.log.Debug("close connections of the certificate before", "error", err)
	}
	if err != nil {
		return err
	}
	_, _, ends = r.identity.Certificate()
	r.log.Info("certificate renewed", "ends", ends, "lapsed", lapsed)
	r.reopen()
	return nil
}

// unlessLapsed is a credential for connections to schedulers: one that has ended is not shown, since
// it would be refused before the request that renews it.
func unlessLapsed(credential func() (*tls.Certificate, error), wall func() time.Time) func() (*tls.Certificate, error) {
	return func() (*tls.Certificate, error) {
		cert, err := credential()
		if err != nil || cert.Leaf == nil || wall().Before(cert.Leaf.NotAfter) {
			return cert, err
		}
		return &tls.Certificate{}, nil
	}
}
