package blob

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"pgregory.net/rapid"

	"github.com/grafos/grafos/api"
)

func TestCloseEndsTheSlow(t *testing.T) {
	n := cluster(t)
	n.slow["s3"] = make(chan struct{}) // never answers
	put(t, n.stores["s1"], "module")
	if err := n.stores["s1"].Close(); err != nil {
		t.Error(err)
	}
	d, size, body := blobOf("another")
	if err := n.stores["s1"].Put(t.Context(), d, size, bytes.NewReader(body)); api.KindOf(err) != api.OutcomeUnknown {
		t.Errorf("a put after Close: %v", err)
	}
}

func TestGetFetchesVerifiesAndKeeps(t *testing.T) {
	n := cluster(t)
	n.cut["s3"] = true
	d := put(t, n.stores["s1"], "module")
	// It stands where s3 would and is not in the network: the others' retries do not reach it.
	fresh, err := Open(t.TempDir(), n.stores["s3"].c)
	if err != nil {
		t.Fatal(err)
	}
	defer fresh.Close() //nolint:errcheck // the test is over
	n.spoil = func(r io.ReadCloser) io.ReadCloser {
		return io.NopCloser(iotest.TimeoutReader(io.MultiReader(strings.NewReader("mxdule"), r)))
	}
	if _, _, err := fresh.Get(t.Context(), d); api.KindOf(err) != api.OutcomeUnknown {
		t.Errorf("wrong bytes from every peer: %v", err)
	}
	if left := files(t, fresh); len(left) != 0 {
		t.Errorf("left %v", left)
	}
	n.spoil = nil
	if got := read(t, fresh, d); got != "module" || !fresh.HasLocal(d) {
		t.Errorf("got %q, kept %v", got, fresh.HasLocal(d))
	}
}

func TestGetOfWhatIsNowhere(t *testing.T) {
	n := cluster(t)
	d, _, _ := blobOf("nowhere")
	s := n.stores["s1"]
	if _, _, err := s.Get(t.Context(), d); api.KindOf(err) != api.NotFound {
		t.Errorf("got %v", err)
	}
	if ok, err := s.Has(t.Context(), d); ok || err != nil {
		t.Errorf("has: %v, %v", ok, err)
	}
	if _, _, err := s.Get(t.Context(), "sha256:x"); api.KindOf(err) != api.InvalidArgument {
		t.Errorf("got %v", err)
	}
	if s.HasLocal("x") {
		t.Error("has what is no digest")
	}
	for i, want := range []api.Kind{api.NotFound, api.OutcomeUnknown} {
		n.mu.Lock()
		n.cut[[]api.NodeID{"s3", "s2"}[i]] = true
		n.mu.Unlock()
		if _, _, err := s.Get(t.Context(), d); api.KindOf(err) != want {
			t.Errorf("with %d schedulers silent: %v", i+1, err)
		}
		if ok, err := s.Has(t.Context(), d); ok || want == api.NotFound && err != nil || want != api.NotFound && api.KindOf(err) != want {
			t.Errorf("has, with %d schedulers silent: %v, %v", i+1, ok, err)
		}
	}
}

func TestRotIsFound(t *testing.T) {
	n := cluster(t)
	s := n.stores["s1"]
	d := put(t, s, "module")
	eventually(t, "all have it", func() bool { return n.stores["s2"].HasLocal(d) && n.stores["s3"].HasLocal(d) })
	if err := os.WriteFile(s.path(d), []byte("modulX"), 0o600); err != nil {
		t.Fatal(err)
	}
	r, _, err := s.Get(t.Context(), d)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(r)
	if api.KindOf(err) != api.DigestMismatch || len(b) == 6 {
		t.Errorf("read %q, %v", b, err)
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
	if got := read(t, s, d); got != "module" { // fetched anew
		t.Errorf("got %q", got)
	}
}

func TestOpenCleansUp(t *testing.T) {
	s := cluster(t).stores["s1"]
	for i := range 3 {
		if err := os.WriteFile(filepath.Join(s.dir, "tmp", fmt.Sprintf("put-%d", i)), []byte("half"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	again, err := Open(s.dir, s.c)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close() //nolint:errcheck // the test is over
	if left := files(t, again); len(left) != 0 {
		t.Errorf("left %v", left)
	}
}

func TestSweep(t *testing.T) {
	n := cluster(t)
	s := n.stores["s1"]
	old, young, kept, again := put(t, s, "old"), put(t, s, "young"), put(t, s, "kept"), put(t, s, "again")
	past := time.Now().Add(-2 * time.Hour)
	for _, d := range []api.Digest{old, kept, again} {
		if err := os.Chtimes(s.path(d), past, past); err != nil {
			t.Fatal(err)
		}
	}
	put(t, s, "again") // is young again
	if err := os.WriteFile(filepath.Join(s.dir, "sha256", "stray"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	removed, err := s.Sweep(func(d api.Digest) bool { return d == kept }, time.Hour)
	if removed != 1 || err != nil {
		t.Errorf("removed %d, %v", removed, err)
	}
	for d, want := range map[api.Digest]bool{old: false, young: true, kept: true, again: true} {
		if s.HasLocal(d) != want {
			t.Errorf("%s: has %v, want %v", d, s.HasLocal(d), want)
		}
	}
}

// TestBodiesAreStreamed: no read asks for more than a buffer, whatever the size.
func TestBodiesAreStreamed(t *testing.T) {
	s := cluster(t).stores["s1"]
	body := bytes.Repeat([]byte("z"), 1<<20)
	d, most := api.DigestOf(sha256.Sum256(body)), 0
	r := bytes.NewReader(body)
	spy := readerFunc(func(p []byte) (int, error) {
		most = max(most, len(p))
		return r.Read(p)
	})
	if err := s.PutLocal(t.Context(), d, int64(len(body)), spy); err != nil {
		t.Fatal(err)
	}
	if most > 64<<10 {
		t.Errorf("a read of %d bytes", most)
	}
}

func TestVerifiedReader(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		b := rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(rt, "bytes")
		flip := rapid.IntRange(-1, len(b)-1).Draw(rt, "flip")
		d := api.DigestOf(sha256.Sum256(b))
		sent := bytes.Clone(b)
		if flip >= 0 {
			sent[flip] ^= 1
		}
		told := 0
		var src io.Reader = bytes.NewReader(sent)
		if rapid.Bool().Draw(rt, "one by one") {
			src = iotest.OneByteReader(src)
		}
		got, err := io.ReadAll(newVerified(io.NopCloser(src), d, int64(len(b)), func() { told++ }))
		if flip < 0 && (err != nil || !bytes.Equal(got, b) || told != 0) {
			rt.Fatalf("right bytes: %d, %v", len(got), err)
		}
		if flip >= 0 && (api.KindOf(err) != api.DigestMismatch || len(got) == len(b) || told != 1) {
			rt.Fatalf("wrong bytes: %d of %d, %v, told %d times", len(got), len(b), err, told)
		}
	})
}
