package node

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
	"github.com/spf13/cobra"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/cluster/store/snap"
)

// archiveBytes is a whole archive of a payload.
func archiveBytes(t *testing.T, payload string) []byte {
	t.Helper()
	s, err := snap.Open(t.TempDir(), snap.Options{Log: hclog.NewNullLogger()})
	if err != nil {
		t.Fatal(err)
	}
	group := raft.Configuration{Servers: []raft.Server{{ID: "s1", Address: "127.0.0.1:1"}}}
	sink, err := s.Create(raft.SnapshotVersionMax, 7, 2, group, 1, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(sink, payload); err != nil {
		t.Fatal(err)
	}
	if err := sink.Close(); err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if _, err := s.Export(sink.ID(), &b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// leading is a leader whose state is an archive.
type leading struct {
	archive []byte
	err     error // of the end of the archive
	saved   int
}

func (*leading) Leads() bool { return true }

func (l *leading) SaveSnapshot(context.Context, bool) (io.ReadCloser, error) {
	l.saved++
	r := io.Reader(bytes.NewReader(l.archive))
	if l.err != nil {
		r = io.MultiReader(r, failing{l.err})
	}
	return io.NopCloser(r), nil
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

func TestSchedule(t *testing.T) {
	l := &leading{archive: archiveBytes(t, "a state")}
	s := schedule{dir: filepath.Join(t.TempDir(), "saved"), every: time.Hour, keep: 2, result: &outcome{}, log: hclog.NewNullLogger()}
	if v := s.result.value(); !math.IsNaN(v) {
		t.Errorf("the result before the first is %v", v)
	}
	l.err = errors.New("the disk is full")
	if err := s.takeIfDue(t.Context(), l); err == nil || s.result.value() != 0 {
		t.Errorf("one that failed: %v, the result is %v", err, s.result.value())
	}
	l.err, l.saved = nil, 0
	take := func() []string {
		t.Helper()
		if err := s.takeIfDue(t.Context(), l); err != nil {
			t.Fatal(err)
		}
		names, err := s.list()
		if err != nil {
			t.Fatal(err)
		}
		return names
	}
	first := take()
	if again := take(); len(first) != 1 || len(again) != 1 || l.saved != 1 {
		t.Errorf("%v, then %v, with %d snapshots", first, again, l.saved)
	}
	for range 3 { // each is due when the one before is old
		names, _ := s.list()
		old := time.Now().Add(-2 * time.Hour)
		if err := os.Chtimes(names[len(names)-1], old, old); err != nil {
			t.Fatal(err)
		}
		names = take()
		if len(names) > s.keep {
			t.Errorf("%d are kept", len(names))
		}
	}
	if s.result.value() != 1 {
		t.Errorf("the result is %v", s.result.value())
	}
	if l.saved != 4 {
		t.Errorf("%d were taken", l.saved)
	}
	names, _ := s.list()
	if _, err := snap.Verify(names[0]); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(first[0]); err == nil {
		t.Error("the oldest is still there")
	}
}

// TestArchiveIsWholeOrNotThere: what breaks off, or does not verify, leaves nothing.
func TestArchiveIsWholeOrNotThere(t *testing.T) {
	whole := archiveBytes(t, "a state")
	dir := t.TempDir()
	path := filepath.Join(dir, "state.grafsnap")
	for name, r := range map[string]io.Reader{
		"broken off": io.MultiReader(bytes.NewReader(whole[:20]), failing{errors.New("gone")}),
		"cut":        bytes.NewReader(whole[:len(whole)-1]),
		"no archive": bytes.NewReader([]byte("hello")),
	} {
		if _, err := writeArchive(path, r); err == nil {
			t.Errorf("%s: taken", name)
		}
		if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
			t.Errorf("%s: %v is left, %v", name, left, err)
		}
	}
	if err := os.WriteFile(path, []byte("the one before"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := writeArchive(path, bytes.NewReader(whole[:30])); err == nil {
		t.Error("half an archive was taken")
	}
	if b, err := os.ReadFile(path); err != nil || string(b) != "the one before" {
		t.Errorf("the one before is %q, %v", b, err)
	}
	if info, err := writeArchive(path, bytes.NewReader(whole)); err != nil || info.Index != 7 {
		t.Errorf("%+v, %v", info, err)
	}
}

func TestSnapshotSettings(t *testing.T) {
	for name, s := range map[string]snapshotSettings{
		"too often": {Every: duration(time.Millisecond), Dir: "d", Keep: 1},
		"nowhere":   {Every: duration(time.Hour), Keep: 1},
		"none kept": {Every: duration(time.Hour), Dir: "d"},
	} {
		if s.check() == nil {
			t.Errorf("%s is taken", name)
		}
	}
	never, hourly := snapshotSettings{}, snapshotSettings{Every: duration(time.Hour), Dir: "d", Keep: 1}
	if never.check() != nil || hourly.check() != nil {
		t.Error("refused")
	}
}

// TestOneFile: a variable of the shell that was not set names no file.
func TestOneFile(t *testing.T) {
	for _, args := range [][]string{nil, {""}, {"a", "b"}} {
		if err := oneFile(&cobra.Command{Use: "save"}, args); api.KindOf(err) != api.InvalidArgument {
			t.Errorf("%q: %v", args, err)
		}
	}
	if err := oneFile(&cobra.Command{Use: "save"}, []string{"a"}); err != nil {
		t.Error(err)
	}
}
