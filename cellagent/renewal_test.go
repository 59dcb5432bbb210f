package cellagent

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/grafos/grafos/api"
)

// fakeIdentity numbers certificates and requests; each certificate lives a day.
type fakeIdentity struct {
	mu           sync.Mutex
	cert         string
	issued, ends time.Time
	asked        string
	kept         []string
	fail         error // of Accept
}

const day = 24 * time.Hour

func newFakeIdentity(age time.Duration) *fakeIdentity {
	issued := time.Now().Add(-age)
	return &fakeIdentity{cert: "c0", issued: issued, ends: issued.Add(day)}
}

func (f *fakeIdentity) Certificate() ([]byte, time.Time, time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return []byte(f.cert), f.issued, f.ends
}

func (f *fakeIdentity) Request(fresh bool) ([]byte, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked = "own key"
	if fresh {
		f.asked = "new key"
	}
	return []byte(f.asked), nil
}

func (f *fakeIdentity) Accept(cert, _ []byte) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.fail != nil {
		return f.fail
	}
	f.cert, f.issued, f.ends = string(cert), time.Now(), time.Now().Add(day)
	f.kept = append(f.kept, f.cert)
	return nil
}

func (f *fakeIdentity) accepted() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.kept)
}

func (c *cluster) asked() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.renewals)
}

// opened counts the active sessions that were opened anywhere.
func (c *cluster) opened() (n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, at := range c.nodes {
		for _, w := range at.watches {
			if !w.Standby {
				n++
			}
		}
	}
	return n
}

func renewing(t *testing.T, age time.Duration, f func(b *bench), urls ...string) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, urls...)
		b.identity = newFakeIdentity(age)
		b.cluster.certify = func(csr string) (*api.BootstrapAnswer, error) {
			return &api.BootstrapAnswer{Certificate: "of " + csr}, nil
		}
		b.start()
		defer b.close()
		f(b)
	})
}

// A certificate is renewed at half of its life and a little, with a new key, and then the sessions are
// opened anew under the same registration, without a moment in which there is none.
func TestRenewsAtHalfLife(t *testing.T) {
	renewing(t, day/2-10*time.Minute, func(b *bench) {
		time.Sleep(9 * time.Minute)
		synctest.Wait()
		if got := b.cluster.asked(); len(got) != 0 {
			t.Fatalf("before half of its life it asked for %q", got)
		}
		before := b.cluster.opened()
		time.Sleep(day/renewSpread + 2*time.Minute)
		synctest.Wait()
		if got := b.cluster.asked(); !slices.Equal(got, []string{"new key"}) {
			t.Fatalf("asked for %q", got)
		}
		if got := b.identity.accepted(); !slices.Equal(got, []string{"of new key"}) {
			t.Errorf("kept %q", got)
		}
		if got := b.cluster.opened(); got != before+1 {
			t.Errorf("%d sessions were opened, before %d", got, before)
		}
		active, standby := b.cluster.holder()
		if active == "" || standby == "" || active == standby {
			t.Errorf("active at %q, standby at %q", active, standby)
		}
		if n := len(b.cluster.agents); n != 1 {
			t.Errorf("%d agents registered: the renewed one is another", n)
		}
	})
}

// Operations of schedulers go over connections of the new key as well.
func TestRenewalDropsTheWaysOfTheRelay(t *testing.T) {
	renewing(t, day/2-10*time.Minute, func(b *bench) {
		r := b.agent.relay
		before, err := r.fabric("https://s3")
		if err != nil {
			b.t.Fatal(err)
		}
		if same, err := r.fabric("https://s3"); err != nil || same != before {
			b.t.Fatalf("a second way to one scheduler, %v", err)
		}
		time.Sleep(day/renewSpread + 11*time.Minute)
		synctest.Wait()
		if after, err := r.fabric("https://s3"); err != nil || after == before || len(b.identity.accepted()) != 1 {
			b.t.Errorf("the way of before is kept: %t, %v", after == before, err)
		}
	})
}

// With one scheduler there is no other to take the session over.
func TestRenewsWithOneScheduler(t *testing.T) {
	renewing(t, day/2+day/renewSpread, func(b *bench) {
		time.Sleep(time.Minute)
		synctest.Wait()
		if got := b.cluster.asked(); !slices.Equal(got, []string{"new key"}) {
			t.Fatalf("asked for %q", got)
		}
		if active, _ := b.cluster.holder(); active == "" || b.cluster.opened() != 2 {
			t.Errorf("active at %q after %d sessions", active, b.cluster.opened())
		}
	}, "https://s1")
}

// One that has ended is renewed with its own key, at once.
func TestRenewsWhatHasLapsed(t *testing.T) {
	renewing(t, 3*day, func(b *bench) {
		time.Sleep(time.Second)
		synctest.Wait()
		if got := b.cluster.asked(); len(got) == 0 || got[0] != "lapsed own key" {
			t.Fatalf("asked for %q", got)
		}
	})
}

// A certificate that ended too long ago, or of a cell that never registered, is never renewed: what the agent says of its
// registration and of its renewal is when it ended and what has to be done on the host, and not that it showed none.
func TestLapsedForGoodSaysWhatToDo(t *testing.T) {
	none := api.Refuse(api.Unauthenticated, "the request has neither")
	for name, why := range map[string]*api.Error{
		"too long ago":     api.Refuse(api.Unauthenticated, "it can be renewed for 7 days"),
		"never registered": api.Refuse(api.NotFound, "cell local-1 is not registered"),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t)
				b.said = &lines{}
				b.identity = newFakeIdentity(9 * day)
				b.cluster.certify = func(string) (*api.BootstrapAnswer, error) { return nil, why }
				b.cluster.register = func() error { return none }
				b.start()
				defer b.close()
				time.Sleep(time.Minute)
				synctest.Wait()
				ended := "the certificate of cell local-1 ended at " + b.identity.ends.UTC().Format(time.RFC3339)
				for _, word := range []string{"not registered yet", "certificate not renewed"} {
					said := b.said.with(word)
					if len(said) < 3 {
						t.Fatalf("%q was said %d times in a minute", word, len(said))
					}
					for i, line := range said {
						if !strings.Contains(line, ended) || strings.Contains(line, none.Detail) {
							t.Fatalf("said %s", line)
						}
						if i > 0 && (!strings.Contains(line, why.Detail) || !strings.Contains(line, "bootstrap-cell --provider local --cell-id local-1")) {
							t.Fatalf("nothing of what to do: %s", line)
						}
					}
				}
				// The clocks of the schedulers may have been wrong.
				b.cluster.mu.Lock()
				b.cluster.certify = func(csr string) (*api.BootstrapAnswer, error) { return &api.BootstrapAnswer{Certificate: csr}, nil }
				b.cluster.register = nil
				b.cluster.mu.Unlock()
				time.Sleep(2 * time.Minute)
				synctest.Wait()
				if len(b.identity.accepted()) == 0 || b.agent.renewing.lost.Load() != nil {
					t.Error("what a scheduler renews after all is still held to be lost")
				}
			})
		})
	}
}

// What fails is tried again, less and less often, and the sessions stay as they are.
func TestRenewalFails(t *testing.T) {
	for name, broken := range map[string]func(b *bench){
		"not certified": func(b *bench) {
			b.cluster.certify = func(string) (*api.BootstrapAnswer, error) { return nil, api.Refuse(api.NoLeader, "nobody leads") }
		},
		"not kept": func(b *bench) { b.identity.fail = errors.New("the disk is full") },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t)
				b.identity = newFakeIdentity(day * 2 / 3)
				b.cluster.certify = func(csr string) (*api.BootstrapAnswer, error) {
					return &api.BootstrapAnswer{Certificate: "of " + csr}, nil
				}
				broken(b)
				b.start()
				defer b.close()
				time.Sleep(time.Hour)
				synctest.Wait()
				if n := len(b.cluster.asked()); n < 30 || n > 90 {
					t.Errorf("asked %d times in an hour", n)
				}
				if n := b.cluster.opened(); n != 1 || len(b.identity.accepted()) != 0 {
					t.Errorf("%d sessions, kept %q", n, b.identity.accepted())
				}
				b.identity.mu.Lock()
				b.identity.fail = nil
				b.identity.mu.Unlock()
				b.cluster.mu.Lock()
				b.cluster.certify = func(csr string) (*api.BootstrapAnswer, error) {
					return &api.BootstrapAnswer{Certificate: "of " + csr}, nil
				}
				b.cluster.mu.Unlock()
				time.Sleep(2 * time.Minute)
				synctest.Wait()
				if got := b.identity.accepted(); !slices.Equal(got, []string{"of new key"}) {
					t.Errorf("kept %q", got)
				}
			})
		})
	}
}

func TestLapsedIsNotShown(t *testing.T) {
	now := time.Now()
	cert := &tls.Certificate{Certificate: [][]byte{{1}}, Leaf: &x509.Certificate{NotAfter: now.Add(time.Hour)}}
	shown := unlessLapsed(func() (*tls.Certificate, error) { return cert, nil }, func() time.Time { return now })
	if c, err := shown(); err != nil || len(c.Certificate) != 1 {
		t.Errorf("shown %v, %v", c, err)
	}
	now = now.Add(time.Hour)
	if c, err := shown(); err != nil || len(c.Certificate) != 0 {
		t.Errorf("shown at its end: %v, %v", c, err)
	}
	bad := unlessLapsed(func() (*tls.Certificate, error) { return nil, errors.New("no file") }, time.Now)
	if _, err := bad(); err == nil || !strings.Contains(err.Error(), "no file") {
		t.Errorf("error %v", err)
	}
}

// The interval between heartbeats is the one that the session told of last.
func TestHeartbeatIsRetimed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.start()
		defer b.close()
		count := func(d time.Duration) int {
			b.cluster.mu.Lock()
			before := 0
			for _, n := range b.cluster.nodes {
				before += n.reports
			}
			b.cluster.mu.Unlock()
			time.Sleep(d)
			synctest.Wait()
			b.cluster.mu.Lock()
			defer b.cluster.mu.Unlock()
			after := 0
			for _, n := range b.cluster.nodes {
				after += n.reports
			}
			return after - before
		}
		if n := count(10 * time.Second); n < 38 || n > 42 {
			t.Errorf("%d heartbeats in 10 s, of which each is 250 ms", n)
		}
		active, _ := b.cluster.holder()
		b.cluster.nodes[active].push <- api.Desired{Index: 1000, HeartbeatMs: 2000, LimitMs: 6000}
		synctest.Wait()
		count(2 * time.Second)
		if n := count(20 * time.Second); n < 9 || n > 11 {
			t.Errorf("%d heartbeats in 20 s, of which each is 2 s", n)
		}
	})
}
