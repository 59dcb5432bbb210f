package cellagent

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"testing"
	"testing/synctest"
	"time"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/capbroker/holder"
)

// carry has a scheduler ask the cell for an operation and returns what the cell brought.
func (b *bench) carry(id string, d api.DataAsk, body []byte) *relayed {
	b.t.Helper()
	r := &relayed{body: body, done: make(chan struct{})}
	active, _ := b.cluster.holder()
	b.cluster.mu.Lock()
	ask := "q" + string(rune('0'+len(b.cluster.relays)))
	b.cluster.relays[ask] = r
	index := b.cluster.index
	b.cluster.mu.Unlock()
	d.Scheduler = "https://s3"
	b.cluster.nodes[active].push <- api.Desired{Index: index, Asks: []api.Ask{{ID: ask, LeaseID: api.LeaseID(id), Generation: 1, Data: &d}}}
	select {
	case <-r.done:
	case <-time.After(2 * relayTime):
		b.t.Fatalf("operation %s was not answered", ask)
	}
	return r
}

func kindIn(r *relayed) api.Kind {
	if r.answer.Problem == nil {
		return ""
	}
	return r.answer.Problem.Kind
}

// What a scheduler carries is judged like what comes straight.
func TestRelay(t *testing.T) {
	inBubble(t, func(b *bench) {
		t := b.t
		b.grant("d", time.Minute, func(l *api.Lease) { l.Kind, l.Use, l.Amount = api.KindBlock, "", 1<<20 })
		pass(time.Second)
		token := b.cluster.token("d")
		data := bytes.Repeat([]byte("0123456789abcdef"), (2*pieceMost+16)/16)
		if r := b.carry("d", api.DataAsk{Write: true, Token: token, Offset: 3, Length: int64(len(data))}, data); kindIn(r) != "" {
			t.Fatalf("write: %v", r.answer.Problem)
		}
		r := b.carry("d", api.DataAsk{Token: token, Offset: 3, Length: int64(len(data))}, nil)
		if kindIn(r) != "" || r.err != nil || !bytes.Equal(r.got, data) || r.answer.Length != int64(len(data)) {
			t.Fatalf("read: %v, %v, %d bytes of %d", r.answer.Problem, r.err, len(r.got), r.answer.Length)
		}
		for name, tc := range map[string]struct {
			id   string
			ask  api.DataAsk
			body []byte
			want api.Kind
		}{
			"past the end":     {"d", api.DataAsk{Token: token, Offset: 1 << 20, Length: 1}, nil, api.InvalidArgument},
			"write past":       {"d", api.DataAsk{Write: true, Token: token, Offset: 1<<20 - 1, Length: 2}, []byte("ab"), api.InvalidArgument},
			"body is short":    {"d", api.DataAsk{Write: true, Token: token, Length: 3}, []byte("ab"), api.InvalidArgument},
			"flipped":          {"d", api.DataAsk{Token: flip(token), Length: 1}, nil, api.BadSignature},
			"nobody's":         {"x", api.DataAsk{Token: token, Length: 1}, nil, api.NotFound},
			"of another lease": {"e", api.DataAsk{Token: token, Length: 1}, nil, api.NotFound},
			"nothing":          {"d", api.DataAsk{Token: token}, nil, ""},
			"nothing written":  {"d", api.DataAsk{Write: true, Token: token}, nil, ""},
		} {
			if r := b.carry(tc.id, tc.ask, tc.body); kindIn(r) != tc.want {
				t.Errorf("%s: answered %v, want %q", name, r.answer.Problem, tc.want)
			}
		}
	})
}

// What comes beyond the operations that are under way is told so, whoever else the cell works for.
func TestRelayIsFull(t *testing.T) {
	inBubble(t, func(b *bench) {
		t := b.t
		b.grant("d", time.Minute, func(l *api.Lease) { l.Kind, l.Use, l.Amount = api.KindBlock, "", 1<<20 })
		pass(time.Second)
		ask := api.DataAsk{Token: b.cluster.token("d"), Length: 1}
		for range relaysMost {
			b.agent.relay.room <- struct{}{}
		}
		if r := b.carry("d", ask, nil); kindIn(r) != api.Overloaded || r.answer.Problem.RetryAfterMs == 0 {
			t.Errorf("one too many is answered %v", r.answer.Problem)
		}
		<-b.agent.relay.room
		if r := b.carry("d", ask, nil); kindIn(r) != "" {
			t.Errorf("when there is room, it is answered %v", r.answer.Problem)
		}
	})
}

// A write waits for the disk when that is asked for, whichever way it comes, and says so when it cannot
// tell whether it is.
func TestSyncedWrites(t *testing.T) {
	inBubble(t, func(b *bench) {
		t := b.t
		b.grant("d", time.Minute, func(l *api.Lease) { l.Kind, l.Use, l.Amount = api.KindBlock, "", 1<<20 })
		pass(time.Second)
		token, path := b.cluster.token("d"), "/v1/leases/d?sync="
		for name, c := range map[string]struct {
			write func() api.Kind
			kind  api.Kind
			syncs int64
		}{
			"straight":     {func() api.Kind { return kindOf(t, b.call("PUT", path+"1", token, []byte("ab"))) }, "", 1},
			"not asked":    {func() api.Kind { return kindOf(t, b.call("PUT", path+"0", token, []byte("ab"))) }, "", 0},
			"not a number": {func() api.Kind { return kindOf(t, b.call("PUT", path+"true", token, []byte("ab"))) }, api.InvalidArgument, 0},
			"carried": {func() api.Kind {
				return kindIn(b.carry("d", api.DataAsk{Write: true, Sync: true, Token: token, Length: 2}, []byte("ab")))
			}, "", 1},
			"carried, not asked": {func() api.Kind {
				return kindIn(b.carry("d", api.DataAsk{Write: true, Token: token, Length: 2}, []byte("ab")))
			}, "", 0},
		} {
			before := b.host.synced.Load()
			if kind := c.write(); kind != c.kind || b.host.synced.Load() != before+c.syncs {
				t.Errorf("%s: answered %q, synced %d times", name, kind, b.host.synced.Load()-before)
			}
		}
	})
}

// A scheduler that carries a held token can use it for nothing but what its holder proved, and
// for that once: the operation that is asked for, with these bytes.
func TestRelayIsNoHolder(t *testing.T) {
	inBubble(t, func(b *bench) {
		t := b.t
		_, private, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		key, err := holder.NewKey(private)
		if err != nil {
			t.Fatal(err)
		}
		b.grant("m", time.Minute, func(l *api.Lease) { l.Holder = key.Thumbprint().String() })
		synctest.Wait()
		pass(time.Second)
		token, data := b.cluster.token("m"), []byte("mine")
		first := b.carry("m", api.DataAsk{Write: true, Token: token, Length: 4}, data)
		if kindIn(first) != api.Unauthenticated || first.answer.Problem.Nonce == "" {
			t.Fatalf("without a proof: %+v", first.answer)
		}
		proof, err := key.Prove(holder.Request{
			Op: "write", Lease: "m", Cell: "local-1", Token: token, Length: 4, Body: sha256.Sum256(data),
		}, first.answer.Problem.Nonce)
		if err != nil {
			t.Fatal(err)
		}
		for name, tc := range map[string]struct {
			ask  api.DataAsk
			body string
		}{
			"other bytes":  {api.DataAsk{Write: true, Token: token, Proof: proof, Length: 4}, "evil"},
			"other place":  {api.DataAsk{Write: true, Token: token, Proof: proof, Offset: 1, Length: 4}, "mine"},
			"other length": {api.DataAsk{Write: true, Token: token, Proof: proof, Length: 3}, "min"},
			"a read":       {api.DataAsk{Token: token, Proof: proof, Length: 4}, ""},
		} {
			if r := b.carry("m", tc.ask, []byte(tc.body)); kindIn(r) != api.BadSignature {
				t.Errorf("%s: answered %v", name, r.answer.Problem)
			}
		}
		ask := api.DataAsk{Write: true, Token: token, Proof: proof, Length: 4}
		if r := b.carry("m", ask, data); kindIn(r) != "" || r.answer.Nonce == "" {
			t.Errorf("what was proved: %+v", r.answer)
		}
		if r := b.carry("m", ask, data); kindIn(r) != api.Unauthenticated {
			t.Errorf("once more: %v", r.answer.Problem)
		}
		// The same token is of no use to who only has it, over its own connection as well.
		if got := kindOf(t, b.call("GET", "/v1/leases/m", token, nil)); got != api.Unauthenticated {
			t.Errorf("a thief is answered %q", got)
		}
	})
}
