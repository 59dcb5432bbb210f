package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime/debug"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/spf13/cobra"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/cluster"
	"github.com/grafos/grafos/cluster/store"
	"github.com/grafos/grafos/cmd/grafos/internal/ui"
)

// Options are what the commands of a node stand on.
type Options struct {
	Version string
}

// serverSettings are the settings of a scheduler.
type serverSettings struct {
	Name     string `toml:"name"`
	DataDir  string `toml:"data_dir"`
	Material string `toml:"material"`
	LogStore string `toml:"log_store"`
	// SnapshotBytes is how much the log grows between two snapshots, as a size such as 64M;
	// snapshotBytes is the same in bytes.
	SnapshotBytes string `toml:"snapshot_bytes"`
	snapshotBytes int64

	Bind            string `toml:"bind"`
	Advertise       string `toml:"advertise"`
	RaftBind        string `toml:"raft_bind"`
	RaftAdvertise   string `toml:"raft_advertise"`
	GossipBind      string `toml:"gossip_bind"`
	GossipAdvertise string `toml:"gossip_advertise"`

	BootstrapExpect int      `toml:"bootstrap_expect"`
	Join            []string `toml:"join"`
	Providers       []string `toml:"providers"`

	Heartbeat      duration `toml:"heartbeat"`
	HeartbeatLimit duration `toml:"heartbeat_limit"`
	Warmup         duration `toml:"warmup"`

	RaftHeartbeat duration `toml:"raft_heartbeat"`
	RaftElection  duration `toml:"raft_election"`
	RaftLease     duration `toml:"raft_lease"`

	MaxSessions int `toml:"max_sessions"`

	Stable   duration `toml:"stable"`
	OnDamage onDamage `toml:"on_damage"`

	DebugBind string `toml:"debug_bind"`

	BootstrapTrust string `toml:"bootstrap_trust"`

	snapshotSettings
	logSettings
}

// Server is grafos server.
func Server(o Options) *cobra.Command {
	s := serverSettings{
		Heartbeat: duration(5 * time.Second), HeartbeatLimit: duration(15 * time.Second), Warmup: duration(30 * time.Second), Stable: duration(10 * time.Second),
		RaftHeartbeat: duration(500 * time.Millisecond), RaftElection: duration(500 * time.Millisecond), RaftLease: duration(400 * time.Millisecond),
	}
	var config string
	cmd := &cobra.Command{
		Use:   "server",
		Short: "Run a scheduler",
		Long: `Run a scheduler: one of the 1, 3 or 5 that replicate the state, place the work and
serve the API. It issues its own certificate from the cluster's material (grafos admin
init-ca) and forms a cluster when as many schedulers as expected have found each other.

Settings come from --config (TOML, the flags' names with '_'), then GRAFOS_SERVER_* in the
environment, then flags.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := settings(cmd, config, "GRAFOS_SERVER", &s); err != nil {
				return err
			}
			if err := s.complete(); err != nil {
				return err
			}
			return runServer(cmd.Context(), s, o.Version, cmd.ErrOrStderr())
		},
	}
	f := cmd.Flags()
	f.StringVar(&config, "config", "", "TOML file with these settings")
	f.StringVar(&s.Name, "name", "", "name of this scheduler (default: the host's)")
	f.StringVar(&s.DataDir, "data-dir", "", "directory of the log, the snapshots and the blobs")
	f.StringVar(&s.Material, "material", "", "folder that grafos admin init-ca wrote")
	f.StringVar(&s.LogStore, "log-store", string(store.BoltDB), "what keeps the Raft log: boltdb, or wal (faster, younger); decided when the data directory is begun")
	f.StringVar(&s.SnapshotBytes, "snapshot-bytes", "64M", "how much the log grows between two snapshots, up to four times as much where the state is large, up to a quarter less at some schedulers; they are also taken every 10 minutes in which it grew")
	f.StringVar(&s.Bind, "bind", "0.0.0.0:7490", "host:port of the API")
	f.StringVar(&s.Advertise, "advertise", "", "host:port of the API as others reach it")
	f.StringVar(&s.RaftBind, "raft-bind", "0.0.0.0:7491", "host:port of Raft")
	f.StringVar(&s.RaftAdvertise, "raft-advertise", "", "host:port of Raft as others reach it")
	f.StringVar(&s.GossipBind, "gossip-bind", "0.0.0.0:7492", "host:port of the gossip")
	f.StringVar(&s.GossipAdvertise, "gossip-advertise", "", "host:port of the gossip as others reach it")
	f.IntVar(&s.BootstrapExpect, "bootstrap-expect", 3, "with how many schedulers a new cluster forms: 1, 3 or 5")
	f.StringSliceVar(&s.Join, "join", nil, "gossip addresses of the other schedulers")
	f.StringSliceVar(&s.Providers, "providers", nil, "providers that take work from the start; name=managed for a managed one")
	f.StringVar(&s.BootstrapTrust, "bootstrap-trust", "", "TOML file of who else may vouch for hosts that become cells: token issuers, cloud identity documents")
	f.Var(&s.Heartbeat, "heartbeat", "how often cells send a heartbeat")
	f.Var(&s.HeartbeatLimit, "heartbeat-limit", "how old a cell's last heartbeat may be")
	f.Var(&s.Warmup, "warmup", "how long heartbeats must be steady before a cell is healthy")
	f.IntVar(&s.MaxSessions, "max-sessions", 32768, "how many sessions of cells to hold at a time, standbys counted; each takes some 150 KiB")
	f.Var(&s.RaftHeartbeat, "raft-heartbeat", "how long a follower waits for its leader before it stands; 300ms or more")
	f.Var(&s.RaftElection, "raft-election", "how long an election may take; raft-heartbeat or more")
	f.Var(&s.RaftLease, "raft-lease", "how long a leader leads without a quorum's answer; 250ms to raft-heartbeat")
	f.Var(&s.Stable, "stable", "how long a scheduler must be well before it gets a vote, and dead before it is removed")
	f.StringVar((*string)(&s.OnDamage), "on-damage", string(damageRejoin),
		"what to do when the data is found damaged: stop, or set it aside and rejoin under a new id")
	f.Var(&s.Every, "snapshot-every", "how often the leader saves the state to snapshot-dir; 0 is never")
	f.IntVar(&s.Keep, "snapshot-keep", 7, "how many of those it keeps")
	f.StringVar(&s.Dir, "snapshot-dir", "", "directory of the states that are saved")
	f.StringVar(&s.DebugBind, "debug-bind", "", "loopback host:port of Go's profiles (default: none)")
	logFlags(cmd, &s.logSettings)
	return cmd
}

func logFlags(cmd *cobra.Command, l *logSettings) {
	cmd.Flags().StringVar(&l.Level, "log-level", "info", "trace, debug, info, warn, error or off")
	cmd.Flags().BoolVar(&l.JSON, "log-json", false, "log JSON lines")
}

func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return api.Refuse(api.InvalidArgument, "%s takes no argument: %q", cmd.CommandPath(), ui.Clean(args[0]))
	}
	return nil
}

// complete fills in what follows from other settings, and refuses what is missing.
func (s *serverSettings) complete() error {
	if s.Name == "" {
		host, err := os.Hostname()
		if err != nil {
			return fmt.Errorf("ask for the host's name: %w", err)
		}
		s.Name = host
	}
	for what, value := range map[string]string{"data-dir": s.DataDir, "material": s.Material} {
		if value == "" {
			return api.Refuse(api.InvalidArgument, "--%s is not given", what).WithHint("grafos server --help")
		}
	}
	if s.LogStore == "" {
		s.LogStore = string(store.BoltDB)
	}
	if err := store.CheckKind(store.Kind(s.LogStore)); err != nil {
		return err
	}
	if err := s.snapshots(); err != nil {
		return err
	}
	if s.Heartbeat < duration(50*time.Millisecond) || s.HeartbeatLimit < 2*s.Heartbeat {
		return api.Refuse(api.InvalidArgument, "heartbeat is %s and heartbeat-limit %s: the first must be 50 ms or more, the second at least twice it", &s.Heartbeat, &s.HeartbeatLimit)
	}
	if err := s.OnDamage.check(); err != nil {
		return err
	}
	if err := s.check(); err != nil {
		return err
	}
	if err := cluster.CheckTimers(time.Duration(s.RaftHeartbeat), time.Duration(s.RaftElection), time.Duration(s.RaftLease)); err != nil {
		return err
	}
	if s.Stable < duration(time.Second) {
		return api.Refuse(api.InvalidArgument, "stable is %s: it must be 1 s or more", &s.Stable)
	}
	if s.MaxSessions < 0 {
		return api.Refuse(api.InvalidArgument, "max-sessions is %d: it cannot be negative", s.MaxSessions).WithHint("leave it out for 32768")
	}
	if s.Warmup < 0 {
		return api.Refuse(api.InvalidArgument, "warmup is %s: it cannot be negative", &s.Warmup)
	}
	var err error
	for _, a := range []struct {
		what, bind string
		into       *string
	}{
		{"advertise", s.Bind, &s.Advertise},
		{"raft-advertise", s.RaftBind, &s.RaftAdvertise},
		{"gossip-advertise", s.GossipBind, &s.GossipAdvertise},
	} {
		if *a.into, err = advertised(a.what, a.bind, *a.into); err != nil {
			return err
		}
	}
	if err := s.checkPlace(); err != nil {
		return err
	}
	s.DataDir, err = filepath.Abs(s.DataDir)
	return err
}

// leastSnapshotBytes keeps a scheduler from doing nothing but snapshots.
const leastSnapshotBytes = 64 << 10

func (s *serverSettings) snapshots() error {
	if s.SnapshotBytes == "" {
		return nil // as the node has it
	}
	var err error
	if s.snapshotBytes, err = sizeOf("snapshot-bytes", s.SnapshotBytes); err != nil {
		return err
	}
	if s.snapshotBytes < leastSnapshotBytes {
		return api.Refuse(api.InvalidArgument, "snapshot-bytes is %s: it must be %s or more", s.SnapshotBytes, api.FormatSize(leastSnapshotBytes))
	}
	return nil
}

// advertised is the address that others reach: given, or the one that is bound when that
// names a host.
func advertised(what, bind, given string) (string, error) {
	if given != "" {
		if _, _, err := net.SplitHostPort(given); err != nil {
			return "", api.Refuse(api.InvalidArgument, "--%s is %q: it must be host:port", what, given)
		}
		return given, nil
	}
	host, port, err := net.SplitHostPort(bind)
	if err != nil {
		return "", api.Refuse(api.InvalidArgument, "the address %q that --%s follows from is not host:port", bind, what)
	}
	if ip := net.ParseIP(host); host != "" && (ip == nil || !ip.IsUnspecified()) {
		return bind, nil
	}
	name, err := os.Hostname()
	if err != nil {
		return "", fmt.Errorf("ask for the host's name: %w", err)
	}
	return net.JoinHostPort(name, port), nil
}

// gcPercent trades memory, of which an idle node has little, for less garbage
// collection under load (docs/performance.md).
const gcPercent = 200

// collectLess sets it, unless the operator did.
func collectLess() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
}

// runServer runs a scheduler until ctx ends or it must stop.
func runServer(ctx context.Context, s serverSettings, version string, w io.Writer) error {
	collectLess()
	recent := &logRing{}
	log, err := s.open("grafos", io.MultiWriter(w, recent))
	if err != nil {
		return err
	}
	log = log.With("node", s.Name)
	for {
		err := runScheduler(ctx, s, version, log, recent)
		why := outcast(err)
		if why == nil || ctx.Err() != nil {
			return err
		}
		if err := rejoin(ctx, s, why, log); err != nil {
			return err
		}
	}
}

// runScheduler runs one until ctx ends or it must stop.
func runScheduler(ctx context.Context, s serverSettings, version string, log hclog.Logger, recent *logRing) error {
	sched, err := openScheduler(ctx, s, version, log, recent)
	if err != nil {
		return err
	}
	err = sched.wait(ctx)
	closed := make(chan error, 1)
	go func() { closed <- sched.close() }()
	late := time.NewTimer(endTime)
	defer late.Stop()
	select {
	case end := <-closed:
		return errors.Join(err, end)
	case <-late.C:
		// It serves nobody any more, and what was acknowledged is on the disk.
		return errors.Join(err, fmt.Errorf("scheduler %s could not close its files within %s: it ends without, as a disk that hangs may never let it", s.Name, endTime))
	}
}

// endTime bounds a stop: whoever restarts this scheduler waits for its end.
const endTime = 15 * time.Second
