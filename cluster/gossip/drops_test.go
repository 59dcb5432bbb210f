package gossip

import (
	"bytes"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/memberlist"

	"github.com/grafos/grafos/cluster/rumor"
)

// outsider is a member list that is no scheduler.
func outsider(t *testing.T, label string, key byte) *memberlist.Memberlist {
	t.Helper()
	c := memberlist.DefaultLocalConfig()
	c.Name, c.BindAddr, c.BindPort, c.AdvertiseAddr = "s9", "127.0.0.1", 0, "127.0.0.1"
	c.Label, c.SecretKey, c.LogOutput = label, bytes.Repeat([]byte{key}, 32), demoted{log: hclog.NewNullLogger(), drops: &Drops{}}
	list, err := memberlist.Create(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := list.Shutdown(); err != nil {
			t.Error(err)
		}
	})
	return list
}

// TestDropsAreCounted: what is forged, sealed with another key, of another cluster, not
// readable or heard before is not taken, and each is counted under its own reason.
func TestDropsAreCounted(t *testing.T) {
	c := testConfig("s1")
	c.Drops = &Drops{}
	g := open(t, c)
	to := memberlist.Address{Addr: g.Addr(), Name: "s1"}
	tell := func(list *memberlist.Memberlist, b []byte) {
		t.Helper()
		if err := list.SendToAddress(to, b); err != nil {
			t.Fatal(err)
		}
	}
	count := func(why Drop, n uint64) {
		t.Helper()
		eventually(t, string(why)+" is counted", func() bool { return c.Drops.Count(why) >= n })
	}
	others := rumor.NewTable("s2", time.Now)
	others.SessionOpened("c1", 1)
	digest := others.Whole()
	insider := outsider(t, "g-test", 7)

	tell(outsider(t, "g-other", 7), digest)
	count(DropCluster, 1)
	tell(outsider(t, "g-test", 8), digest)
	count(DropKey, 1)
	tell(insider, []byte("nonsense"))
	count(DropMalformed, 1)

	udp, err := net.Dial("udp", g.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer udp.Close() //nolint:errcheck // the test is over
	label := append([]byte{244, byte(len("g-test"))}, "g-test"...)
	if _, err := udp.Write(append(label, bytes.Repeat([]byte{1}, 64)...)); err != nil {
		t.Fatal(err)
	}
	count(DropKey, 2)
	if _, err := udp.Write([]byte("forged")); err != nil {
		t.Fatal(err)
	}
	count(DropCluster, 2)

	if _, known := c.Table.Best("c1", 1); known {
		t.Error("something of it was taken")
	}
	tell(insider, digest)
	eventually(t, "what is sealed and new is taken", func() bool { _, known := c.Table.Best("c1", 1); return known })
	tell(insider, digest)
	count(DropOld, 1)
	if _, err := insider.Join([]string{g.Addr()}); err == nil {
		count(DropMember, 1)
	}
}

// TestDropsAreSeldomWritten: a flood of forged packets is counted, not written.
func TestDropsAreSeldomWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		log := hclog.New(&hclog.LoggerOptions{Output: &out, Level: hclog.Info})
		drops := &Drops{}
		flood := func() {
			for range 12345 {
				if _, err := (demoted{log: log, drops: drops}).Write([]byte("[ERR] memberlist: Decrypt packet failed: no installed keys could decrypt the message from=x\n")); err != nil {
					t.Fatal(err)
				}
			}
		}
		flood()
		time.Sleep(dropSaid)
		flood()
		if n := drops.Count(DropKey); n != 2*12345 {
			t.Errorf("counted %d", n)
		}
		if text := out.String(); strings.Count(text, "\n") != 2 || !strings.Contains(text, "count=12346") || !strings.Contains(text, `from=x" cause="it has another gossip key"`) {
			t.Errorf("wrote\n%s", text)
		}
	})
}
