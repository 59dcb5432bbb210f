package gossip

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/memberlist"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/cluster/rumor"
)

// Config is what a scheduler's gossip needs.
type Config struct {
	Node      api.NodeID
	ClusterID string // packets of another cluster are dropped unread
	// Bind and Advertise are host:port, for UDP and TCP alike. Advertise may be empty where
	// Bind is not the unspecified address.
	Bind, Advertise string
	Key             []byte   // 32 bytes: AES-256-GCM
	Join            []string // host:port of schedulers, asked until each is a member
	Meta            rumor.Meta
	Table           *rumor.Table
	// Interval is between two exchanges of the table, each with one other scheduler; 0 is 1 s.
	Interval time.Duration
	// Drops counts what is not taken; it may be nil.
	Drops *Drops
	Log   hclog.Logger
}

// Timing of the membership: a scheduler that dies without a word is dead to the others
// after about probeInterval and suspicionMult times as long again, at most twice that.
const (
	probeInterval  = 500 * time.Millisecond
	probeTimeout   = 250 * time.Millisecond
	suspicionMult  = 3
	suspicionMax   = 2
	streamTimeout  = 2 * time.Second
	leaveTimeout   = 500 * time.Millisecond
	updateTimeout  = time.Second
	gossipInterval = 100 * time.Millisecond
	keyLen         = 32
)

// Gossip is this scheduler's membership. Close ends it.
type Gossip struct {
	c    Config
	list *memberlist.Memberlist
	addr string
	d    *delegate
	stop context.CancelFunc
	wg   sync.WaitGroup
	once sync.Once
	end  error
	// told wakes the goroutine that tells the others of a new Meta.
	told chan struct{}
	// asked is closed when every address of Join was asked once.
	asked chan struct{}
	// refused is when it was said of an address of Join that it refuses this scheduler; rejoin's.
	refused map[string]time.Time
}

// cause is why nothing listens on bind: memberlist's own error has it as text alone.
func cause(ctx context.Context, bind string, err error) error {
	var lc net.ListenConfig
	stream, fault := lc.Listen(ctx, "tcp", bind)
	if fault != nil {
		return fault
	}
	_ = stream.Close() // nobody has heard of it
	packets, fault := lc.ListenPacket(ctx, "udp", bind)
	if fault != nil {
		return fault
	}
	_ = packets.Close()
	return err
}

// Open joins the gossip. It returns as soon as this scheduler listens; the others are found
// by a goroutine that goes on asking the addresses of Join until Close. ctx bounds the
// resolving of names, nothing else.
func Open(ctx context.Context, c Config) (*Gossip, error) {
	if c.Interval == 0 {
		c.Interval = time.Second
	}
	if c.Drops == nil {
		c.Drops = &Drops{}
	}
	mc, err := config(ctx, c)
	if err != nil {
		return nil, fmt.Errorf("open gossip: %w", err)
	}
	d := newDelegate(c)
	if err := d.setMeta(c.Meta); err != nil {
		return nil, fmt.Errorf("open gossip: %w", err)
	}
	mc.Delegate, mc.Events, mc.Alive, mc.Conflict = d, d, d, d
	list, err := memberlist.Create(mc)
	if err != nil {
		return nil, fmt.Errorf("open gossip on %s: %w", c.Bind, cause(ctx, c.Bind, err))
	}
	run, stop := context.WithCancel(context.Background())
	g := &Gossip{
		c: c, list: list, d: d, stop: stop, told: make(chan struct{}, 1), asked: make(chan struct{}), refused: map[string]time.Time{},
		// Read once: memberlist writes into its own node while it tells of a new Meta.
		addr: list.LocalNode().Address(),
	}
	g.wg.Go(func() { g.rejoin(run) })
	g.wg.Go(func() { g.tell(run) })
	return g, nil
}

// config turns c into memberlist's, or says what is wrong with it.
func config(ctx context.Context, c Config) (*memberlist.Config, error) {
	if err := api.CheckName("node", string(c.Node)); err != nil {
		return nil, err
	}
	if c.ClusterID == "" || len(c.ClusterID) > memberlist.LabelMaxSize {
		return nil, fmt.Errorf("cluster id %q is empty or too long", c.ClusterID)
	}
	if len(c.Key) != keyLen {
		return nil, fmt.Errorf("the gossip key has %d bytes, it must have %d", len(c.Key), keyLen)
	}
	if c.Meta.Node != c.Node || c.Table == nil || c.Table.Node() != c.Node {
		return nil, fmt.Errorf("meta and table must be of node %s", c.Node)
	}
	mc := memberlist.DefaultLANConfig()
	mc.Name, mc.Label, mc.SecretKey = string(c.Node), c.ClusterID, c.Key
	mc.LogOutput = demoted{log: c.Log, drops: c.Drops}
	mc.TCPTimeout, mc.PushPullInterval = streamTimeout, c.Interval
	mc.ProbeInterval, mc.ProbeTimeout = probeInterval, probeTimeout
	mc.SuspicionMult, mc.SuspicionMaxTimeoutMult = suspicionMult, suspicionMax
	mc.GossipInterval, mc.GossipNodes = gossipInterval, 4
	mc.EnableCompression = false         // LZW costs more than what it saves among five nodes
	mc.DeadNodeReclaimTime = time.Second // a scheduler may come back under another address
	mc.MsgpackUseNewTimeFormat = true
	var err error
	if mc.BindAddr, mc.BindPort, err = resolve(ctx, c.Bind); err != nil {
		return nil, fmt.Errorf("bind address: %w", err)
	}
	mc.AdvertisePort = mc.BindPort
	if c.Advertise != "" {
		if mc.AdvertiseAddr, mc.AdvertisePort, err = resolve(ctx, c.Advertise); err != nil {
			return nil, fmt.Errorf("advertised address: %w", err)
		}
	}
	return mc, nil
}

// resolve splits host:port and makes an IP address of the host; an empty host is all.
func resolve(ctx context.Context, addr string) (ip string, port int, err error) {
	host, p, err := net.SplitHostPort(addr)
	if err != nil {
		return "", 0, err
	}
	n, err := strconv.ParseUint(p, 10, 16)
	if err != nil {
		return "", 0, fmt.Errorf("port %q of %s is not a number below 65536", p, addr)
	}
	if host == "" {
		return "0.0.0.0", int(n), nil
	}
	if net.ParseIP(host) != nil {
		return host, int(n), nil
	}
	ips, err := net.DefaultResolver.LookupHost(ctx, host)
	if err != nil {
		return "", 0, err
	}
	if len(ips) == 0 {
		return "", 0, fmt.Errorf("%s has no address", host)
	}
	return ips[0], int(n), nil
}

// Addr returns the host:port that this scheduler advertises.
func (g *Gossip) Addr() string { return g.addr }

// SetMeta changes what this scheduler tells of itself. The others hear of it a moment later.
// What is too large to be told is logged and not taken.
func (g *Gossip) SetMeta(m rumor.Meta) {
	m.Node = g.c.Node
	if err := g.d.setMeta(m); err != nil {
		g.c.Log.Error("gossip meta not taken", "error", err)
		return
	}
	select {
	case g.told <- struct{}{}:
	default:
	}
}

// tell spreads a new Meta until ctx ends. What an update could not reach in time, the
// exchange of tables carries.
func (g *Gossip) tell(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-g.told:
			if err := g.list.UpdateNode(updateTimeout); err != nil {
				g.c.Log.Debug("gossip meta not acknowledged", "error", err)
			}
		}
	}
}

// Close says good-bye to the others, for half a second at most, and ends what Open started.
// memberlist may still call back for a moment; that reaches only the table. It may be called
// twice.
func (g *Gossip) Close() error {
	g.once.Do(func() {
		g.stop()
		if err := g.list.Leave(leaveTimeout); err != nil {
			g.c.Log.Debug("gossip left without an answer", "error", err)
		}
		g.end = g.list.Shutdown()
		g.wg.Wait()
	})
	if g.end != nil {
		return fmt.Errorf("close gossip: %w", g.end)
	}
	return nil
}
