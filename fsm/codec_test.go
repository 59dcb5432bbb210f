package fsm

import (
	"bytes"
	"encoding/hex"
	"errors"
	"flag"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/raft"
	"pgregory.net/rapid"

	"github.com/grafos/grafos/api"
)

var rewrite = flag.Bool("rewrite", false, "write the golden files again")

// golden compares got with a file under testdata, or writes it.
func golden(t *testing.T, path, got string) {
	t.Helper()
	path = filepath.Join("testdata", path)
	if *rewrite {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v (go test -rewrite makes it)", err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", path, diff)
	}
}

// The bytes of every command are for ever: an old log is read by every later version.
func TestGoldenCommands(t *testing.T) {
	for k := Kind(1); k <= lastKind; k++ {
		c := filled(k)
		b, err := EncodeEntry(Entry{Tick: 1, Wall: 2, Commands: []Command{c}})
		if err != nil {
			t.Fatalf("kind %d: %v", k, err)
		}
		var wrapped strings.Builder
		for line := hex.EncodeToString(b); line != ""; {
			n := min(100, len(line))
			wrapped.WriteString(line[:n] + "\n")
			line = line[n:]
		}
		golden(t, "commands/"+kindName(k)+".hex", wrapped.String())

		e, err := DecodeEntry(b)
		if err != nil {
			t.Fatalf("kind %d: %v", k, err)
		}
		if diff := cmp.Diff(c, e.Commands[0]); diff != "" || e.Tick != 1 || e.Wall != 2 {
			t.Errorf("kind %d does not survive (-want +got):\n%s", k, diff)
		}
		if size := EncodedSize(c); size < len(b)-64 || size > len(b) {
			t.Errorf("kind %d: %d bytes are said, the entry has %d", k, size, len(b))
		}
	}
	if (lastKind+1).make() != nil || Kind(0).make() != nil {
		t.Error("there is a kind that no test knows")
	}
}

func TestKindsMatch(t *testing.T) {
	for k := Kind(1); k <= lastKind; k++ {
		if got := k.make().Kind(); got != k {
			t.Errorf("kind %d makes a command of kind %d", k, got)
		}
	}
}

func TestEncodeEntryRefuses(t *testing.T) {
	big := FreeLease{Lease: "l", Reason: strings.Repeat("x", MaxEntry)}
	for name, c := range map[string]struct {
		kind api.Kind
		e    Entry
	}{
		"too large":    {api.TooLarge, Entry{Commands: []Command{big}}},
		"too many":     {api.TooLarge, Entry{Commands: make([]Command, MaxCommands+1)}},
		"missing":      {api.InvalidArgument, Entry{Commands: []Command{nil}}},
		"no UTF-8":     {api.InvalidArgument, Entry{Commands: []Command{FreeLease{Lease: "\xff"}}}},
		"no such year": {api.InvalidArgument, Entry{Commands: []Command{ChangeHealth{Changes: []HealthChange{{Healthy: &api.Condition{Since: time.Unix(1<<40, 0)}}}}}}},
		"huge list":    {api.InvalidArgument, Entry{Commands: []Command{AdvanceLeases{Leases: make([]api.LeaseID, 5000)}}}},
	} {
		if _, err := EncodeEntry(c.e); api.KindOf(err) != c.kind {
			t.Errorf("%s: %v, want %s", name, err, c.kind)
		}
	}
	if EncodedSize(nil) <= MaxEntry || EncodedSize(big) <= MaxEntry {
		t.Error("what cannot be encoded is said to fit")
	}
}

func TestDecodeEntryRefuses(t *testing.T) {
	good, err := EncodeEntry(Entry{Commands: []Command{FreeLease{Lease: "l"}}})
	if err != nil {
		t.Fatal(err)
	}
	cd, _ := newCodec()
	raw := func(v any) []byte {
		b, err := cd.enc.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return append([]byte{entryVersion}, b...)
	}
	body := func(v any) []byte { return raw(v)[1:] }
	command := func(k Kind, v any) []byte {
		return raw(wireEntry{Commands: []wireCommand{{Kind: k, Body: body(v)}}})
	}
	for name, b := range map[string][]byte{
		"empty":          {},
		"version 0":      append([]byte{0}, good[1:]...),
		"version 2":      append([]byte{2}, good[1:]...),
		"trailing":       append(append([]byte{}, good...), 0),
		"cut":            good[:len(good)-1],
		"unknown kind":   command(lastKind+1, struct{}{}),
		"kind 0":         command(0, struct{}{}),
		"unknown field":  command(KindFreeLease, map[string]any{"lease_id": "l", "colour": "red"}),
		"unknown header": raw(map[string]any{"tick": 1, "wall_ms": 1, "commands": []any{}, "more": 1}),
		"wrong type":     command(KindFreeLease, map[string]any{"lease_id": 7}),
		"huge":           make([]byte, MaxEntry+1),
	} {
		if e, err := DecodeEntry(b); err == nil {
			t.Errorf("%s: taken as %+v", name, e)
		}
	}
}

// decodeByReflection is DecodeEntry without what is read by hand: what the two disagree about
// is a bug of the latter.
func decodeByReflection(b []byte) (Entry, error) {
	cd, err := newCodec()
	if err != nil || len(b) == 0 || len(b) > MaxEntry || b[0] != entryVersion {
		return Entry{}, errors.New("no entry")
	}
	var wire wireEntry
	if err := cd.dec.Unmarshal(b[1:], &wire); err != nil {
		return Entry{}, err
	}
	if len(wire.Commands) > MaxCommands {
		return Entry{}, errors.New("too many commands")
	}
	e := Entry{Tick: wire.Tick, Wall: wire.Wall, Commands: make([]Command, len(wire.Commands))}
	for i, w := range wire.Commands {
		if e.Commands[i] = w.Kind.make(); e.Commands[i] == nil {
			return Entry{}, errors.New("unknown kind")
		}
		if err := cd.dec.Unmarshal(w.Body, e.Commands[i]); err != nil {
			return Entry{}, err
		}
	}
	return e, nil
}

func FuzzDecodeEntry(f *testing.F) {
	for k := Kind(1); k <= lastKind; k++ {
		b, err := EncodeEntry(Entry{Tick: 1, Wall: 2, Commands: []Command{filled(k), Tick{}}})
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	shared := new(memory)
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := DecodeEntry(b)
		slow, serr := decodeByReflection(b)
		if (err == nil) != (serr == nil) || err == nil && !reflect.DeepEqual(e, slow) {
			t.Fatalf("read as %+v (%v), by reflection as %+v (%v)", e, err, slow, serr)
		}
		if err != nil {
			return
		}
		var cd codec
		if named, err := cd.decodeEntry(b, shared); err != nil || !reflect.DeepEqual(e, named) {
			t.Fatalf("with shared names read as %+v (%v), want %+v", named, err, e)
		}
		// What is taken is written again and read as the same, and no state is broken by it.
		again, err := EncodeEntry(e)
		if err != nil {
			t.Fatalf("decoded, and cannot be encoded: %v", err)
		}
		back, err := DecodeEntry(again)
		if err != nil || !reflect.DeepEqual(e, back) {
			t.Fatalf("got %+v (%v), want %+v", back, err, e)
		}
		applyAnything(t, e)
	})
}

// applyAnything applies an entry to a state with something in every table, twice: it is taken or
// refused, and no invariant is broken by it.
func applyAnything(t *testing.T, e Entry) {
	t.Helper()
	r := smallState(t)
	for range 2 {
		b, err := EncodeEntry(e)
		if err != nil {
			t.Fatal(err)
		}
		r.index++
		if _, ok := r.m.Apply(&raft.Log{Index: r.index, Data: b}).([]Result); !ok {
			if _, ok := errors.AsType[*UnknownLevelError](r.fatal); !ok {
				t.Fatalf("the machine stopped: %v", r.fatal)
			}
			return
		}
		r.check()
	}
}

// Commands that are written by hand are written as the codec writes them, byte for byte, and
// read by hand.
func TestHotCommands(t *testing.T) {
	cd, err := newCodec()
	if err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(t *rapid.T) {
		c := hotCommand(t)
		body, ok := appendHot(nil, c)
		want, err := cd.enc.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		if !ok || !bytes.Equal(body, want) {
			t.Fatalf("%+v is written (%v)\n%x, want\n%x", c, ok, body, want)
		}
		value, _ := appendHot(nil, reflect.ValueOf(c).Elem().Interface().(Command)) //nolint:errcheck // it is one
		if !bytes.Equal(body, value) {
			t.Fatalf("%+v as a value is written\n%x, want\n%x", c, value, body)
		}
		r := hotReader{s: string(body), names: newNames(), pools: new(pools)}
		read := r.read(c.Kind())
		slow := c.Kind().make()
		if err := cd.dec.Unmarshal(body, slow); err != nil {
			return // it holds what is no UTF-8
		}
		if read == nil || !reflect.DeepEqual(read, slow) {
			t.Fatalf("%x is read as %+v, want %+v", body, read, slow)
		}
	})
}

// hotCommand draws a command that is written by hand, with anything in it.
func hotCommand(t *rapid.T) Command {
	text := func(what string) string {
		if rapid.IntRange(0, 3).Draw(t, what+"?") == 0 {
			return ""
		}
		return rapid.OneOf(rapid.String(), rapid.StringN(200, 300, 400), rapid.SampledFrom([]string{"mem", "acme", "\xff", "\u2028<&>"})).Draw(t, what)
	}
	number := func(what string) int64 {
		return rapid.OneOf(rapid.Int64(), rapid.Int64Range(-300, 300), rapid.SampledFrom([]int64{23, 24, 255, 256, 65535, 65536, 1 << 32, -24, -25, math.MinInt64})).Draw(t, what)
	}
	count := func(what string) uint64 {
		return rapid.OneOf(rapid.Uint64(), rapid.Uint64Range(0, 300)).Draw(t, what)
	}
	idem := Idem{Scope: text("scope"), Key: text("key"), Hash: text("hash")}
	stamp := api.Stamp{BootID: text("boot"), BootTime: number("boot time")}
	switch rapid.SampledFrom([]Kind{KindGrantLeases, KindReportCell, KindFreeLease, KindRenewLease, KindAdvanceLeases, KindSetQuota}).Draw(t, "kind") { //nolint:exhaustive // the hot ones
	case KindGrantLeases:
		c := &GrantLeases{
			Actor: text("actor"), Idem: idem, Tenant: api.TenantID(text("tenant")), Provider: api.ProviderID(text("provider")), Cell: api.CellID(text("cell")),
			CellEpoch: count("epoch"), Priority: api.Priority(text("priority")), TTLMs: number("ttl"), Stamp: stamp, Items: []GrantItem{},
		}
		for range rapid.IntRange(0, MaxItems).Draw(t, "items") {
			c.Items = append(c.Items, GrantItem{ID: api.LeaseID(text("id")), Kind: api.LeaseKind(text("kind")), Use: api.Use(text("use")), Amount: number("amount")})
		}
		return c
	case KindReportCell:
		c := &ReportCell{Cell: api.CellID(text("cell")), Epoch: count("epoch")}
		for range rapid.IntRange(0, 3).Draw(t, "bound") {
			c.Bound = append(c.Bound, api.BoundReport{
				LeaseID: api.LeaseID(text("id")), Generation: count("generation"), Epoch: count("epoch"),
				Coordinate: text("coordinate"), Token: text("token"),
			})
		}
		for range rapid.IntRange(0, 3).Draw(t, "ended") {
			c.Ended = append(c.Ended, api.EndedReport{LeaseID: api.LeaseID(text("id")), Epoch: count("epoch"), State: api.LeaseState(text("state")), Reason: text("reason")})
		}
		return c
	case KindFreeLease:
		return &FreeLease{Actor: text("actor"), Idem: idem, Lease: api.LeaseID(text("id")), Reason: text("reason")}
	case KindSetQuota:
		return &SetQuota{Actor: text("actor"), Idem: idem, Tenant: api.TenantID(text("tenant")), Quota: api.Quota{
			CPU: number("cpu"), Mem: number("mem"), Block: number("block"), Net: number("net"), GPU: number("gpu"), Leases: number("leases"),
		}}
	case KindRenewLease:
		return &RenewLease{Actor: text("actor"), Idem: idem, Lease: api.LeaseID(text("id")), TTLMs: number("ttl"), Stamp: stamp}
	}
	c := &AdvanceLeases{Leases: []api.LeaseID{}}
	for range rapid.IntRange(0, 5).Draw(t, "leases") {
		c.Leases = append(c.Leases, api.LeaseID(text("id")))
	}
	return c
}

// Records are values: no pointer, map or slice but those that are always replaced whole.
func TestRecordsAreValues(t *testing.T) {
	allowed := map[string]bool{
		"CellRecord.Inventory.GPUs": true, "CellRecord.Inventory.Labels": true, "CellRecord.Inventory.Isolation": true,
		"CellRecord.Inventory.Overcommit": true, "Run.LeaseIDs": true, "Run.Artifacts": true, "IdemRecord.Leases": true, "TokenRecord.SPKIs": true,
		"CellRecord.BarredKeys": true, "TokenRecord.UsedAt": true,
		"Lease.Terms": true, "Lease.Terms.Egress": true, "Lease.Terms.GPU": true, "Lease.Terms.GPU.Devices": true,
		"Run.Net": true, "Run.Terms": true, "Run.Terms.Egress": true, "Run.Terms.GPU": true, "Run.Terms.GPU.Devices": true, "CellRecord.Suite.Kinds": true, "CellRecord.Suite.Failed": true,
	}
	var walk func(path string, typ reflect.Type)
	walk = func(path string, typ reflect.Type) {
		switch k := typ.Kind(); {
		case typ == reflect.TypeFor[time.Time]() || k == reflect.String || k <= reflect.Float64:
		case k == reflect.Struct:
			for f := range typ.Fields() {
				walk(path+"."+f.Name, f.Type)
			}
		case k == reflect.Slice || k == reflect.Map || k == reflect.Pointer && allowed[path]:
			if !allowed[path] {
				t.Errorf("%s is a %s", path, k)
			}
			if k != reflect.Pointer {
				path += "[]"
			}
			walk(path, typ.Elem())
		default:
			t.Errorf("%s is a %s", path, k)
		}
	}
	for _, r := range emptyRecords() {
		walk(reflect.TypeOf(r).Name(), reflect.TypeOf(r))
	}
}

// Nothing that is stored has a field for a secret.
func TestRecordsHaveNoSecrets(t *testing.T) {
	var walk func(path string, typ reflect.Type)
	walk = func(path string, typ reflect.Type) {
		k := typ.Kind()
		if k == reflect.Struct {
			for f := range typ.Fields() {
				for _, word := range []string{"Token", "Secret", "Password", "Args", "Env"} {
					if f.Name == word || strings.HasPrefix(f.Name, "Secret") {
						t.Errorf("%s.%s looks like a secret", path, f.Name)
					}
				}
				walk(path+"."+f.Name, f.Type)
			}
		}
		if k == reflect.Slice || k == reflect.Map || k == reflect.Pointer {
			walk(path, typ.Elem())
		}
	}
	for _, r := range emptyRecords() {
		walk(reflect.TypeOf(r).Name(), reflect.TypeOf(r))
	}
}
