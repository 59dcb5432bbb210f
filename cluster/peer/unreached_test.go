package peer

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"

	"github.com/grafos/grafos/api/clock"
)

// TestUnreached: the same of a member is written once, and then seldom with its count; what is
// another failure, of another member, or of no member, is written at once; and it is said once
// that the member is there again.
func TestUnreached(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var text bytes.Buffer
		u := newUnreached(hclog.New(&hclog.LoggerOptions{Output: &text, DisableTime: true}), clock.System())
		wrote := func(what string, want ...string) {
			t.Helper()
			got := strings.Split(strings.TrimSuffix(text.String(), "\n"), "\n")
			text.Reset()
			for i := range max(len(got), len(want)) {
				if i >= len(got) || i >= len(want) || !strings.Contains(got[i], want[i]) {
					t.Fatalf("%s:\n%s\nwant\n%s", what, strings.Join(got, "\n"), strings.Join(want, "\n"))
				}
			}
		}
		s2, s3 := raft.Server{ID: "s2", Address: "127.0.0.1:2"}, raft.Server{ID: "s3", Address: "127.0.0.1:3"}
		down := func() {
			port := 40000 + time.Now().Nanosecond()/1e6
			u.Error("failed to appendEntries to", "peer", s2, "error", fmt.Errorf("dial 127.0.0.1:%d: refused", port))
			u.Error("failed to heartbeat to", "peer", s2.Address, "backoff time", time.Millisecond, "error", errors.New("refused"))
		}
		down()
		wrote("at first", "appendEntries", "heartbeat")
		for range 299 {
			time.Sleep(100 * time.Millisecond)
			down()
		}
		wrote("for 29.9 s", "")
		time.Sleep(100 * time.Millisecond)
		down()
		wrote("after 30 s", `still not reached: peer=s2 errors=601 for=30s error="dial`)
		u.Error("failed to appendEntries to", "peer", s2, "error", errors.New("certificate expired"))
		u.Error("failed to make requestVote RPC", "target", s3, "error", errors.New("refused"))
		u.Error("failed to commit logs", "error", errors.New("disk"))
		u.Error("failed to commit logs", "error", errors.New("disk"))
		u.Error("peer has newer term, stopping replication", "peer", s2)
		wrote("others", "certificate expired", "requestVote", "disk", "disk", "newer term")

		u.reached("s2", s2.Address)
		wrote("once, between failures", "")
		time.Sleep(reachedAfter)
		u.reached("s2", s2.Address)
		u.reached("s2", s2.Address)
		wrote("again", "reached again: peer=s2 errors=603 for=30")
		down()
		wrote("a second time", "appendEntries", "heartbeat")
		u.reached("s3", s3.Address)
		wrote("the other one too", "reached again: peer=s3 errors=1")
		time.Sleep(unreachedPast + 1)
		down()
		wrote("long after, from anew", "appendEntries", "heartbeat")
	})
}
