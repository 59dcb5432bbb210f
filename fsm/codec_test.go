package fsm

import (
	"encoding/hex"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

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

func FuzzDecodeEntry(f *testing.F) {
	for k := Kind(1); k <= lastKind; k++ {
		b, err := EncodeEntry(Entry{Tick: 1, Wall: 2, Commands: []Command{filled(k), Tick{}}})
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := DecodeEntry(b)
		if err != nil {
			return
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
		r := newRig(t).cluster()
		r.do(e.Commands...)
	})
}

// Records are values: no pointer, and no map or slice but those that are always replaced
// whole.
func TestRecordsAreValues(t *testing.T) {
	allowed := map[string]bool{
		"CellRecord.Inventory.GPUs": true, "CellRecord.Inventory.Labels": true, "CellRecord.Inventory.Isolation": true,
		"Run.LeaseIDs": true, "Run.Artifacts": true, "IdemRecord.Leases": true, "TokenRecord.SPKIs": true,
	}
	var walk func(path string, typ reflect.Type)
	walk = func(path string, typ reflect.Type) {
		switch k := typ.Kind(); {
		case typ == reflect.TypeFor[time.Time]() || k == reflect.String || k <= reflect.Float64:
		case k == reflect.Struct:
			for f := range typ.Fields() {
				walk(path+"."+f.Name, f.Type)
			}
		case k == reflect.Slice || k == reflect.Map:
			if !allowed[path] {
				t.Errorf("%s is a %s", path, k)
			}
			walk(path+"[]", typ.Elem())
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
