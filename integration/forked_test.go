package integration

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/cluster/store"
	"github.com/grafos/grafos/fsm"
)

// falsify replaces the last command of a stopped scheduler's log by another one, whole and in
// its place: no checksum can tell.
func falsify(t *testing.T, dir string) {
	t.Helper()
	kept, err := store.Open(dir, store.Options{LogOptions: store.LogOptions{Kind: store.BoltDB, Log: hclog.NewNullLogger()}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = kept.Close() }()
	last, err := kept.Log.LastIndex()
	if err != nil {
		t.Fatal(err)
	}
	other, err := fsm.EncodeEntry(fsm.Entry{Wall: 1, Commands: []fsm.Command{
		fsm.CreateTenant{Actor: "operator/root", Tenant: "nobody-made-it", Quota: api.NoQuota()},
	}})
	if err != nil {
		t.Fatal(err)
	}
	var tail []*raft.Log
	for i := last; i > 0; i-- {
		e := new(raft.Log)
		if err := kept.Log.GetLog(i, e); err != nil {
			t.Fatal(err)
		}
		tail = append([]*raft.Log{e}, tail...)
		if e.Type == raft.LogCommand {
			e.Data = other
			break
		}
	}
	if err := kept.Log.DeleteRange(tail[0].Index, last); err != nil {
		t.Fatal(err)
	}
	if err := kept.Log.StoreLogs(tail); err != nil {
		t.Fatal(err)
	}
}

// TestForked: a scheduler that has made another state of the same log than the others finds out
// by itself, says so, sets its data aside and is a member again under another id, with the
// state of the others.
func TestForked(t *testing.T) {
	c := up(t, 1)
	if _, err := c.Run(t.Context(), "lease", "request", "--provider", "local", "--mem", "64K", "--ttl", "10m"); err != nil {
		t.Fatal(err)
	}
	wrong := followerOf(t, c).Name
	was := nodeID(t, c, wrong)
	if err := c.Kill(t.Context(), wrong); err != nil {
		t.Fatal(err)
	}
	falsify(t, filepath.Join(c.DevDir(), "nodes", wrong, "raft"))
	began := time.Now()
	if err := c.Restart(t.Context(), wrong); err != nil {
		t.Fatal(err)
	}
	eventually(t, 30*time.Second, func() string {
		if is := nodeID(t, c, wrong); is == was || is == "" {
			return wrong + " is still " + string(was)
		}
		return ""
	})
	t.Logf("set aside %s after it was started", time.Since(began).Round(time.Millisecond))
	wantGroup(t, c, "s1 s2 s3")
	why, err := filepath.Glob(filepath.Join(c.DevDir(), "nodes", wrong, "raft.damaged-*", "WHY.txt"))
	if err != nil || len(why) != 1 {
		t.Fatalf("kept aside: %v, %v", why, err)
	}
	if text, err := os.ReadFile(why[0]); err != nil || !strings.Contains(string(text), "another state") {
		t.Errorf("why: %s, %v", text, err)
	}
	checkAgreement(t, c)
	if list := raftMembers(t, c); list.Differs != "" {
		t.Errorf("they still differ: %s", list.Differs)
	}
}
