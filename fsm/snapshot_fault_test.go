package fsm

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/grafos/grafos/api"
)

// failingReader ends with an error instead of an end.
type failingReader struct {
	io.Reader
	err error
}

func (r failingReader) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	if err == io.EOF {
		err = r.err
	}
	return n, err
}

// A snapshot that is refused says what is wrong with it, by kind and in words, and what was
// there before is whole.
func TestSnapshotFaults(t *testing.T) {
	r := smallState(t)
	before := r.m.View()
	good := snapshotOf(t, before)
	frames := framesOf(t, good)
	at := func(mark byte) int {
		return slices.IndexFunc(frames, func(f frame) bool { return f.mark == mark })
	}
	edit := func(change func([]frame) []frame) []byte { return joined(change(slices.Clone(frames))) }
	cd, err := newCodec()
	if err != nil {
		t.Fatal(err)
	}
	head := func(v any) []byte {
		return edit(func(f []frame) []frame {
			body, err := cd.enc.Marshal(v)
			if err != nil {
				t.Fatal(err)
			}
			f[0].body = body
			return f
		})
	}
	flipped := bytes.Clone(good)
	flipped[len(flipped)-100] ^= 4
	sum := bytes.Clone(good)
	sum[len(sum)-1] ^= 1
	boom := errors.New("disk is gone")
	for name, c := range map[string]struct {
		in    io.Reader
		fault SnapshotFault
		word  string
	}{
		"nothing":          {strings.NewReader(""), FaultTruncated, "ends before"},
		"another file":     {strings.NewReader("PK\x03\x04 and more of some archive"), FaultForeign, "no snapshot of grafOS"},
		"truncated":        {bytes.NewReader(good[:len(good)/2]), FaultTruncated, "ends before"},
		"without its sum":  {bytes.NewReader(good[:len(good)-32]), FaultTruncated, "ends before"},
		"flipped":          {bytes.NewReader(flipped), FaultDamaged, "checksum is wrong"},
		"sum flipped":      {bytes.NewReader(sum), FaultDamaged, "its checksum is"},
		"longer":           {bytes.NewReader(append(bytes.Clone(good), 0)), FaultTrailing, "goes on"},
		"unreadable":       {failingReader{bytes.NewReader(good[:200]), boom}, FaultRead, "disk is gone"},
		"later version":    {bytes.NewReader(head(map[string]any{"version": 3, "level": 1, "more": true})), FaultVersion, "version 3, this node knows 1 to 2"},
		"version 0":        {bytes.NewReader(head(map[string]any{"version": 0})), FaultVersion, "version 0"},
		"later level":      {bytes.NewReader(head(snapshotHead{Version: 2, Level: 3})), FaultLevel, "feature level 3, this node knows 1 to 2"},
		"unknown in head":  {bytes.NewReader(head(map[string]any{"version": 2, "level": 1, "more": true})), FaultContent, "its head cannot be read"},
		"no head":          {bytes.NewReader(edit(func(f []frame) []frame { return f[1:] })), FaultContent, "not with its head"},
		"no state":         {bytes.NewReader(edit(func(f []frame) []frame { return slices.Delete(f, 1, 2) })), FaultContent, "followed by frame"},
		"a record less":    {bytes.NewReader(edit(func(f []frame) []frame { return slices.Delete(f, at(4), at(4)+1) })), FaultContent, "it counts"},
		"records swapped":  {bytes.NewReader(edit(func(f []frame) []frame { i := at(4); f[i], f[i+1] = f[i+1], f[i]; return f })), FaultContent, "out of order"},
		"tables swapped":   {bytes.NewReader(edit(func(f []frame) []frame { i, j := at(1), at(4); f[i], f[j] = f[j], f[i]; return f })), FaultContent, "tables are out of order"},
		"a record twice":   {bytes.NewReader(edit(func(f []frame) []frame { return slices.Insert(f, at(4), f[at(4)]) })), FaultContent, "twice"},
		"an unknown table": {bytes.NewReader(edit(func(f []frame) []frame { return slices.Insert(f, len(f)-1, frame{9, nil}) })), FaultContent, "does not know the table"},
		"unknown in cell": {bytes.NewReader(edit(func(f []frame) []frame {
			f[at(2)].body = []byte{cborMap | 1, cborText | 1, 'x', 0}
			return f
		})), FaultContent, "table 2"},
		"huge record": {bytes.NewReader(edit(func(f []frame) []frame {
			return slices.Insert(f, len(f)-1, frame{4, make([]byte, maxRecord+1)})
		})), FaultContent, "at most"},
		"endless length": {io.MultiReader(strings.NewReader(snapshotMagic+"\xf0"), strings.NewReader(strings.Repeat("\xff", 60))), FaultDamaged, "no end"},
	} {
		t.Run(name, func(t *testing.T) {
			err := r.m.Restore(io.NopCloser(c.in))
			bad, ok := errors.AsType[*SnapshotError](err)
			if !ok || bad.Fault != c.fault || !strings.Contains(bad.Error(), c.word) {
				t.Errorf("got %v, want %s and %q", err, c.fault, c.word)
			}
			if r.m.View() != before || r.fatal != nil {
				t.Error("something of it was taken")
			}
		})
	}
	if err := r.m.Restore(io.NopCloser(byteByByte{bytes.NewReader(good)})); err != nil {
		t.Errorf("byte by byte it is refused: %v", err)
	}
	r.must(FreeLease{Lease: "r1-cpu"})
	r.wantState("r1-cpu", api.LeaseForcedTeardown, ReasonReleased)
}

// byteByByte reads a byte at a time.
type byteByByte struct{ io.Reader }

func (r byteByByte) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	return r.Reader.Read(p[:1])
}

// A snapshot of many blocks is summed and read right wherever a block ends.
func TestSnapshotOfManyBlocks(t *testing.T) {
	r := newRig(t).cluster()
	r.quick = true
	for i := range 4000 {
		c := grant(cpu(api.LeaseID(fmt.Sprintf("%s-%d", strings.Repeat("x", i%80), i)), 1))
		c.TTLMs = 1000 + int64(i)
		r.must(c)
	}
	v := r.m.View()
	b := snapshotOf(t, v)
	if len(b) < snapshotBlock+snapshotBlock/2 {
		t.Fatalf("%d bytes are no many blocks", len(b))
	}
	again, err := ReadSnapshot(bytes.NewReader(b))
	if err != nil || !bytes.Equal(snapshotOf(t, again), b) {
		t.Errorf("not the same: %v", err)
	}
	for i := snapshotBlock - 40; i < snapshotBlock+40; i++ {
		bad := bytes.Clone(b)
		bad[i] ^= 0x10
		if _, err := ReadSnapshot(bytes.NewReader(bad)); err == nil {
			t.Fatalf("flipped at %d it is taken", i)
		}
	}
}
