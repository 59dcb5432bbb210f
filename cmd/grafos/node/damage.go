package node

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/api/client"
	"github.com/grafos/grafos/capbroker/pki"
	"github.com/grafos/grafos/cluster"
	"github.com/grafos/grafos/cluster/gossip"
	"github.com/grafos/grafos/cluster/rumor"
	"github.com/grafos/grafos/cluster/store/disk"
)

// onDamage is what a scheduler does when it finds that what it keeps is not what it wrote.
// Either way it neither serves nor votes from then on, and says why.
type onDamage string

const (
	// damageStop ends the process: somebody must look first.
	damageStop onDamage = "stop"
	// damageRejoin sets the damaged data aside, once the cluster is known to go on without this
	// scheduler, and joins it again under a new id. It is the default: what was set aside is
	// kept, the rest of the cluster holds all of it, and until this scheduler is back, the next
	// failure may be one too many.
	damageRejoin onDamage = "rejoin"
)

const (
	// damageFind is how long a damaged scheduler looks for its cluster.
	damageFind = 10 * time.Second
	// damageRest is how soon after one damage the next one means that the host is to blame.
	damageRest = time.Hour
	damageLook = 250 * time.Millisecond
)

// set reads the flag.
func (o *onDamage) check() error {
	if *o != damageStop && *o != damageRejoin {
		return api.Refuse(api.InvalidArgument, "on-damage is %q: it is stop or rejoin", string(*o))
	}
	return nil
}

// outcast returns why a scheduler's data may not be used any more, nil when err is something
// else: it is damaged, of a past that the cluster does not share, or another state than the
// others made of the same log.
func outcast(err error) error {
	if damage, is := errors.AsType[*disk.CorruptError](err); is {
		return damage
	}
	if left, is := errors.AsType[*cluster.LeftBehindError](err); is {
		return left
	}
	if forked, is := errors.AsType[*cluster.ForkedError](err); is {
		return forked
	}
	return nil
}

// rejoin makes a scheduler whose data may not be used one that has nothing and joins its
// cluster. It returns why it did not: then nothing was touched.
func rejoin(ctx context.Context, s serverSettings, why error, log hclog.Logger) error {
	log.Error("this scheduler's data cannot be used: it neither serves nor votes", "error", why)
	if s.OnDamage != damageRejoin {
		return fmt.Errorf("%w: this scheduler stops (on-damage is stop); to have it join again under a new id, start it with --on-damage rejoin", why)
	}
	release, err := holdDir(s.DataDir)
	if err != nil {
		return errors.Join(why, err)
	}
	if suspect(why) {
		err = restedSince(s.DataDir)
	}
	if err == nil {
		err = findCluster(ctx, s, log)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("%w: nothing was set aside: %w", why, err), release())
	}
	where, err := cluster.SetAside(s.DataDir, raftDir(s.DataDir), why.Error())
	if err == nil {
		log.Warn("the data was set aside: this scheduler joins again under a new id", "path", where)
	}
	if err == nil && auditToo(why, auditDir(s.DataDir)) {
		if where, err = disk.SetAside(auditDir(s.DataDir), why.Error()); err == nil {
			log.Warn("the audit chain was set aside", "path", where)
		}
	}
	if err != nil {
		err = fmt.Errorf("set the data aside: %w", err)
	}
	return errors.Join(err, release())
}

// suspect reports whether the host may be to blame: a past that the cluster does not share is
// nobody's fault.
func suspect(why error) bool {
	_, left := errors.AsType[*cluster.LeftBehindError](why)
	return !left
}

// auditToo reports whether the audit chain cannot be used either: it is what is damaged, or it
// tells of another state.
func auditToo(why error, dir string) bool {
	if _, forked := errors.AsType[*cluster.ForkedError](why); forked {
		return true
	}
	damage, damaged := errors.AsType[*disk.CorruptError](why)
	return damaged && strings.HasPrefix(damage.File, dir)
}

// restedSince refuses a second damage soon after the first.
func restedSince(dataDir string) error {
	dirs, err := filepath.Glob(raftDir(dataDir) + ".damaged-*")
	if err != nil {
		return fmt.Errorf("list what was set aside: %w", err)
	}
	for _, dir := range dirs {
		info, err := os.Stat(dir)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return fmt.Errorf("list what was set aside: %w", err)
		}
		if age := time.Since(info.ModTime()); age < damageRest {
			return fmt.Errorf("the data was set aside %s ago too: the disk and the memory of this host need a look; remove %s to try again all the same", age.Round(time.Second), dir)
		}
	}
	return nil
}

// findCluster returns nil when a scheduler of the cluster leads it, as a quorum just confirmed:
// then everything that was acknowledged is there, and stays there, without this scheduler.
func findCluster(ctx context.Context, s serverSettings, log hclog.Logger) error {
	material, err := pki.LoadMaterial(s.Material)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, damageFind)
	defer cancel()
	// The same each time: the others remember whoever they heard of, and to look again comes
	// back under the name that left.
	id := api.NodeID(s.Name + "-look")
	g, err := gossip.Open(ctx, gossip.Config{
		Node: id, ClusterID: material.ClusterID, Bind: s.GossipBind, Advertise: s.GossipAdvertise, Key: material.GossipKey, Join: s.Join,
		// It has heard of a cluster with data: nobody founds one with it.
		Meta:  rumor.Meta{Node: id, HasState: true},
		Table: rumor.NewTable(id, time.Now), Log: log.Named("gossip"),
	})
	if err != nil {
		return fmt.Errorf("look for the cluster: %w", err)
	}
	defer func() { _ = g.Close() }() // it was only listened to
	cert, err := ownCertificate(material, s)
	if err != nil {
		return err
	}
	identity := pki.ClientTLS(pki.ClientOptions{Cert: cert, Roots: material.Pool(), ClusterID: material.ClusterID, Server: api.RoleScheduler})
	dial := func(url string) (cluster.Peer, error) {
		return client.NewPeer(client.Config{URLs: []string{url}, TLS: identity, Timeout: 2 * time.Second, Log: log.Named("peer")})
	}
	return findLeader(ctx, g, material.ClusterID, dial)
}

func findLeader(ctx context.Context, g cluster.Gossip, clusterID string, dial func(string) (cluster.Peer, error)) error {
	seen := 0
	for {
		seen = 0
		for _, m := range g.Members() {
			if !m.Alive || m.URL == "" {
				continue
			}
			seen++
			if leads(ctx, m.URL, clusterID, dial) {
				return nil
			}
		}
		select {
		case <-time.After(damageLook):
		case <-ctx.Done():
			return fmt.Errorf("of %d schedulers that answer within %s none leads the cluster: this may be the last copy of its data; "+
				"bring a quorum of the others back first, or recover (grafos operator recover --help)", seen, damageFind)
		}
	}
}

func leads(ctx context.Context, url, clusterID string, dial func(string) (cluster.Peer, error)) bool {
	peer, err := dial(url)
	if err != nil {
		return false
	}
	st, err := peer.Member(ctx)
	return errors.Join(err, peer.Close()) == nil && st.Leads && st.ClusterID == clusterID
}
