package quick

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/grafos/grafos/api"
)

// maker fills values at random: every field may be zero, and texts may be awkward.
type maker struct {
	r       *rand.Rand
	awkward bool
}

func (m maker) text() string {
	words := []string{"", "local", "active", "torndown", "mem", "region", "standard", "https://127.0.0.1:7500/l/x", "v4.public.eyJ_-", "a b"}
	if m.awkward {
		words = append(words, "<&>", "ü", "\u2028", "a\"b", `a\b`, "a\nb", "\xff", "\x7f")
	}
	return words[m.r.IntN(len(words))]
}

func (m maker) time() time.Time {
	t := time.Unix(m.r.Int64N(4e9), m.r.Int64N(2)*m.r.Int64N(1e9)).UTC()
	if m.awkward && m.r.IntN(4) == 0 {
		t = t.In(time.FixedZone("x", 3600*(m.r.IntN(20)-10)))
	}
	return t
}

func (m maker) fill(v reflect.Value, depth int) {
	if m.r.IntN(3) == 0 {
		return
	}
	switch v.Type() {
	case reflect.TypeFor[time.Time]():
		v.Set(reflect.ValueOf(m.time()))
		return
	case reflect.TypeFor[json.RawMessage]():
		return
	}
	switch v.Kind() { //nolint:exhaustive // the api has no other
	case reflect.String:
		v.SetString(m.text())
	case reflect.Int, reflect.Int32, reflect.Int64:
		v.SetInt(m.whole())
	case reflect.Uint32, reflect.Uint64:
		v.SetUint(uint64(max(m.whole(), 0)))
	case reflect.Bool:
		v.SetBool(m.r.IntN(2) == 0)
	case reflect.Pointer:
		if depth < 6 {
			v.Set(reflect.New(v.Type().Elem()))
			m.fill(v.Elem(), depth+1)
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), m.r.IntN(4), 4))
		for i := range v.Len() {
			m.fill(v.Index(i), depth+1)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				m.fill(v.Field(i), depth+1)
			}
		}
	}
}

func (m maker) whole() int64 {
	n := m.r.Int64N(1 << (1 + m.r.IntN(62)))
	if m.r.IntN(8) == 0 {
		return -n
	}
	return n
}

func (m maker) into(v any) { m.fill(reflect.ValueOf(v).Elem(), 0) }

// read are the documents that Read knows.
func read() []any {
	return []any{
		&api.LeaseRequest{}, &api.BatchRequest{}, &api.Report{}, &api.GrantSet{}, &api.BatchAnswer{}, &api.ReportAnswer{}, &api.Desired{},
		&api.LeaseAnswer{}, &api.LeaseList{}, &api.ReadIndex{},
	}
}

// written are the documents that Append knows, as their senders have them.
func written(v any) any {
	switch v := v.(type) {
	case *api.LeaseRequest:
		return *v
	case *api.BatchRequest:
		return *v
	case *api.Report:
		return *v
	case *api.Desired:
		return *v
	}
	return v
}

func fresh(v any) any { return reflect.New(reflect.TypeOf(v).Elem()).Interface() }

// TestAppendIsJSON: what is written is to the byte what encoding/json writes.
func TestAppendIsJSON(t *testing.T) {
	for seed := range uint64(3000) {
		m := maker{rand.New(rand.NewPCG(seed, 1)), seed%2 == 0}
		for _, v := range read() {
			m.into(v)
			want, err := json.Marshal(v)
			if err != nil {
				t.Fatal(err)
			}
			got, ok := Append([]byte("x"), written(v))
			if !ok || string(got) != "x"+string(want) {
				t.Fatalf("seed %d: %T: %v\n%s\nwant\n%s", seed, v, ok, got, want)
			}
		}
	}
}

// TestAppendRefuses: a document that encoding/json cannot write, or that is not for this
// package, adds nothing.
func TestAppendRefuses(t *testing.T) {
	late := &api.GrantSet{Leases: []api.Grant{{Lease: api.Lease{GrantedAt: time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)}}}}
	for _, v := range []any{late, &api.RunList{}, 1, nil} {
		if b, ok := Append([]byte("x"), v); ok || string(b) != "x" {
			t.Errorf("%T was written: %q", v, b)
		}
	}
}

// TestReadPlain: every document that our own programs send in the ordinary course is read
// here: otherwise this package would be of no use.
func TestReadPlain(t *testing.T) {
	mem := api.LeaseRequest{Provider: "local", Resources: api.Resources{Mem: 4096}, TTLMs: 3000, Tenant: "dev"}
	at := time.Date(2026, 11, 1, 0, 0, 0, 5000000, time.UTC)
	lease := api.Lease{
		ID: "l-1", Tenant: "dev", Provider: "local", CellID: "local-1", Kind: api.KindMem, Use: api.UseRegion, Amount: 4096, State: api.LeaseActive,
		Generation: 1, Epoch: 1 << 40, Priority: api.PriorityStandard, TTLMs: 3000, GrantedAt: at, ExpiresAt: at, BoundAt: at, EndedAt: at,
		BoundGeneration: 1, Coordinate: "https://x/y", Reason: "expired", Granted: 1, Expires: 2, Ended: 3, ForceAt: 4,
		Stamp: api.Stamp{BootID: "b", BootTime: 17}, Modified: 9, RunID: "r-1",
	}
	set := api.GrantSet{Index: 7, CellID: "local-1", Leases: []api.Grant{{Lease: lease, Token: "v4.public.x"}}}
	for _, v := range []any{
		&mem,
		&api.BatchRequest{Requests: []api.BatchItem{{LeaseRequest: mem}, {LeaseRequest: mem, IdempotencyKey: "k"}}},
		&api.Report{
			Epoch: 3, Heartbeat: &api.Heartbeat{Seq: 1, Stamp: lease.Stamp, Stuck: "x"},
			Bound: []api.BoundReport{{LeaseID: "l-1", Generation: 1, Epoch: 2, Coordinate: "c", Token: "t"}},
			Ended: []api.EndedReport{{LeaseID: "l-1", Epoch: 2, State: api.LeaseTornDown, Reason: "expired"}},
		},
		&set,
		&api.BatchAnswer{Index: 1, Answers: []api.BatchResult{{Grant: &set, IdempotencyKey: "k/0"}}},
		&api.ReportAnswer{Index: 5},
		&api.LeaseAnswer{Index: 5, Lease: api.Grant{Lease: lease}, Freshness: api.Freshness{LastContactMs: new(int64(3))}},
		&api.LeaseList{Index: 5, Leases: []api.Lease{lease, {}}, NextPage: "l-1"},
		&api.ReadIndex{Index: 5, Term: 2},
		&api.Desired{Index: 5, Full: true, Leases: []api.Lease{lease, {}}, Schedulers: []string{"https://a", "https://b"}},
	} {
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		for _, b := range [][]byte{b, spread(b)} {
			got := fresh(v)
			if !Read(b, got) {
				t.Errorf("%T is not read: %s", v, b)
			} else if d := cmp.Diff(v, got); d != "" {
				t.Errorf("%T is read as another (-want +got):\n%s", v, d)
			}
		}
	}
}

// spread writes a document with room in it.
func spread(b []byte) []byte {
	var o bytes.Buffer
	if json.Indent(&o, b, "\r\n ", "\t") != nil {
		return nil
	}
	return append([]byte(" \n"), append(o.Bytes(), ' ')...)
}

// TestReadRandom: what is read is what encoding/json reads.
func TestReadRandom(t *testing.T) {
	taken := map[string]int{}
	for seed := range uint64(3000) {
		m := maker{rand.New(rand.NewPCG(seed, 2)), seed%4 == 0}
		for _, v := range read() {
			m.into(v)
			b, err := json.Marshal(v)
			if err != nil {
				t.Fatal(err)
			}
			if alike(t, b, v) {
				taken[fmt.Sprintf("%T", v)]++
			}
			mutate(m.r, b)
			alike(t, b, v)
		}
	}
	for _, v := range read() {
		if name := fmt.Sprintf("%T", v); taken[name] < 100 {
			t.Errorf("of %s only %d documents were read", name, taken[name])
		}
	}
}

// mutate changes a few bytes of a document.
func mutate(r *rand.Rand, b []byte) {
	const with = `{}[],:"\0019-.eEtf un` + "\x00\xff"
	for range 1 + r.IntN(3) {
		b[r.IntN(len(b))] = with[r.IntN(len(with))]
	}
}

// alike reads b into a fresh value of v's type and holds that against encoding/json, which
// must refuse no less: fields that it does not know, and those that it takes for another.
func alike(t *testing.T, b []byte, v any) bool {
	t.Helper()
	got := fresh(v)
	if !Read(b, got) {
		if !reflect.DeepEqual(got, fresh(v)) {
			t.Fatalf("%T: what is not read was changed by %s", v, b)
		}
		return false
	}
	want, strict := fresh(v), json.NewDecoder(bytes.NewReader(b))
	strict.DisallowUnknownFields()
	if err := strict.Decode(want); err != nil {
		t.Fatalf("%T: encoding/json refuses %s: %v", v, b, err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Fatalf("%T: %s\nis read as %+v\nwant %+v", v, b, got, want)
	}
	return true
}

// TestReadRefuses: what is not plain is left to encoding/json.
func TestReadRefuses(t *testing.T) {
	const good = `{"provider":"aws","resources":{"mem":1},"ttl_ms":1000}`
	if !Read([]byte(good), &api.LeaseRequest{}) {
		t.Fatal("the plain one is refused")
	}
	for _, bad := range []string{
		``, `null`, `[]`, `{}`, `"x"`, good + `x`, good + good, `{` + good, good[:len(good)-1],
		`{"provider":"aws","resources":{"mem":1}}`,
		`{"provider":"aws","ttl_ms":1000}`,
		`{"resources":{"mem":1},"ttl_ms":1000}`,
		`{"provider":null,"resources":{"mem":1},"ttl_ms":1000}`,
		`{"Provider":"aws","resources":{"mem":1},"ttl_ms":1000}`,
		`{"provider":"aws","provider":"aws","resources":{"mem":1},"ttl_ms":1000}`,
		`{"provider":"aws","resources":{"mem":1,"mem":2},"ttl_ms":1000}`,
		`{"provider":"aws","resources":{"mem":1,"tpu":2},"ttl_ms":1000}`,
		`{"provider":"aws","resources":{"mem":1},"ttl_ms":1000,"more":1}`,
		`{"provider":"a\u0077s","resources":{"mem":1},"ttl_ms":1000}`,
		`{"provider":"aws","resources":{"mem":1.0},"ttl_ms":1000}`,
		`{"provider":"aws","resources":{"mem":1e3},"ttl_ms":1000}`,
		`{"provider":"aws","resources":{"mem":01},"ttl_ms":1000}`,
		`{"provider":"aws","resources":{"mem":-0},"ttl_ms":1000}`,
		`{"provider":"aws","resources":{"mem":- 1},"ttl_ms":1000}`,
		`{"provider":"aws","resources":{"mem":+1},"ttl_ms":1000}`,
		`{"provider":"aws","resources":{"mem":"1"},"ttl_ms":1000}`,
		`{"provider":"aws","resources":{"mem":9223372036854775808},"ttl_ms":1000}`,
		`{"provider":"aws","resources":{"mem":1,},"ttl_ms":1000}`,
		`{"provider":"aws",,"resources":{"mem":1},"ttl_ms":1000}`,
		`{"provider":"aws" "resources":{"mem":1},"ttl_ms":1000}`,
	} {
		if v := (api.LeaseRequest{}); Read([]byte(bad), &v) || v != (api.LeaseRequest{}) {
			t.Errorf("%s is read as %+v", bad, v)
		}
	}
	many := `{"requests":[` + strings.Repeat(good+",", api.MaxBatch) + good + `]}`
	if Read([]byte(many), &api.BatchRequest{}) {
		t.Error("a batch with too many requests is read")
	}
	if Read([]byte(good), &api.Lease{}) {
		t.Error("a document that is not known is read")
	}
}

// FuzzRead: no bytes make Read differ from encoding/json, or panic.
func FuzzRead(f *testing.F) {
	for seed := range uint64(20) {
		m := maker{rand.New(rand.NewPCG(seed, 3)), false}
		for i, v := range read() {
			m.into(v)
			b, err := json.Marshal(v)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(uint8(i), b)
		}
	}
	f.Fuzz(func(t *testing.T, kind uint8, b []byte) {
		all := read()
		alike(t, b, all[int(kind)%len(all)])
	})
}
