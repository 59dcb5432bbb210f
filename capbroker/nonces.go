package capbroker

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"sync"
	"time"

	"github.com/grafos/grafos/api"
)

const (
	// nonceLife is for how long a nonce may be used.
	nonceLife = 30 * time.Second
	// noncesMost bounds the used nonces that are remembered, noncesPerLease those of one lease.
	noncesMost     = 1 << 17
	noncesPerLease = 1 << 14
	// nonceTime, nonceRandom and nonceSum are the bytes of a nonce's parts.
	nonceTime, nonceRandom, nonceSum = 8, 8, 16
	nonceSize                        = nonceTime + nonceRandom + nonceSum
)

// nonce is one that was issued: its time, something random, and a sum over both.
type nonce [nonceSize]byte

// nonces issues nonces and remembers those that were used. Issuing needs no memory: a nonce
// carries its time under a sum that only this cell can make. What is remembered is forgotten
// when the nonce is too old anyway.
type nonces struct {
	key [32]byte

	mu    sync.Mutex
	spent map[nonce]api.LeaseID
	per   map[api.LeaseID]int
	queue []nonce // of spent, in the order of their use; those before head are gone
	used  []time.Time
	head  int
}

func newNonces() (*nonces, error) {
	n := &nonces{spent: map[nonce]api.LeaseID{}, per: map[api.LeaseID]int{}}
	if _, err := rand.Read(n.key[:]); err != nil {
		return nil, fmt.Errorf("make nonce key: %w", err)
	}
	return n, nil
}

// issue makes a nonce.
func (n *nonces) issue(now time.Time) string {
	var one nonce
	binary.BigEndian.PutUint64(one[:], uint64(now.UnixNano()))
	_, _ = rand.Read(one[nonceTime : nonceTime+nonceRandom]) // it never fails
	copy(one[nonceTime+nonceRandom:], n.sum(one))
	return base64.RawURLEncoding.EncodeToString(one[:])
}

func (n *nonces) sum(one nonce) []byte {
	mac := hmac.New(sha256.New, n.key[:])
	_, _ = mac.Write(one[:nonceTime+nonceRandom]) // it never fails
	return mac.Sum(nil)[:nonceSum]
}

// spend takes a nonce once; unproved makes the refusal of one that is not to be taken.
func (n *nonces) spend(text string, lease api.LeaseID, now time.Time, unproved func(string) error) error {
	raw, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || len(raw) != nonceSize {
		return unproved("the proof's nonce is none of this cell's")
	}
	one := nonce(raw)
	if !hmac.Equal(one[nonceTime+nonceRandom:], n.sum(one)) {
		return unproved("the proof's nonce is none of this cell's")
	}
	at := time.Unix(0, int64(binary.BigEndian.Uint64(one[:])))
	if age := now.Sub(at); age >= nonceLife || age < -clockStep {
		return unproved("the proof's nonce is " + span(age) + " old")
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.forget(now)
	if _, ok := n.spent[one]; ok {
		return unproved("the proof was used before")
	}
	if len(n.spent) >= noncesMost || n.per[lease] >= noncesPerLease {
		busy := api.Refuse(api.Overloaded, "lease %s or its cell has had as many proofs as are remembered in %s", lease, nonceLife).
			WithHint("connect with the holder's certificate: that needs no proofs")
		busy.RetryAfterMs = time.Second.Milliseconds()
		return busy
	}
	n.spent[one] = lease
	n.per[lease]++
	n.queue, n.used = append(n.queue, one), append(n.used, now)
	return nil
}

// forget drops the nonces that were used so long ago that they are too old themselves: one is
// used at most clockStep before its own time.
func (n *nonces) forget(now time.Time) {
	for n.head < len(n.queue) && now.Sub(n.used[n.head]) >= nonceLife+clockStep {
		one := n.queue[n.head]
		lease := n.spent[one]
		delete(n.spent, one)
		if n.per[lease]--; n.per[lease] == 0 {
			delete(n.per, lease)
		}
		n.head++
	}
	if n.head > len(n.queue)/2 {
		n.queue, n.used = append([]nonce(nil), n.queue[n.head:]...), append([]time.Time(nil), n.used[n.head:]...)
		n.head = 0
	}
}
