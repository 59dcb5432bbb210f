package node

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/api/client"
	"github.com/grafos/grafos/cellagent"
	"github.com/grafos/grafos/cmd/grafos/internal/ui"
)

// agentSettings are the settings of a cell.
type agentSettings struct {
	Identity   string   `toml:"identity"`
	DataDir    string   `toml:"data_dir"`
	Schedulers []string `toml:"schedulers"`

	DataBind      string `toml:"data_bind"`
	DataAdvertise string `toml:"data_advertise"`

	offerSettings

	ReserveCPU int64  `toml:"reserve_cpu"`
	ReserveMem string `toml:"reserve_mem"`
	Block      string `toml:"block"`

	Zone   string   `toml:"zone"`
	Rack   string   `toml:"rack"`
	Labels []string `toml:"labels"`

	DebugBind string `toml:"debug_bind"`

	TestFaults string `toml:"test_faults" help:"-"`

	logSettings
}

// faultsAllowed is what has to be 1 in the environment for --test-faults: nobody sets both by
// mistake.
const faultsAllowed = "GRAFOS_TEST_FAULTS"

// faulty refuses faults that were not asked for twice, and has the inventory say that there are
// some.
func (s agentSettings) faulty(labels map[string]string) error {
	if s.TestFaults == "" {
		return nil
	}
	if os.Getenv(faultsAllowed) != "1" {
		return api.Refuse(api.InvalidArgument, "--test-faults breaks this cell on purpose, for tests").
			WithHint("leave it out; a test sets %s=1 beside it", faultsAllowed)
	}
	labels[cellagent.FaultsLabel] = s.TestFaults
	return nil
}

// CellAgent is grafos cell-agent.
func CellAgent(o Options) *cobra.Command {
	var s agentSettings
	var config string
	cmd := &cobra.Command{
		Use:   "cell-agent",
		Short: "Run a cell",
		Long: `Run a cell: it registers under the certificate in --identity (grafos cloud
bootstrap-cell), reports what the host has, holds a session to a scheduler, and runs
tasklets under leases.

What the host has is offered, less --reserve-cpu and --reserve-mem, or as --cpu, --mem, --net
and --gpu say; more than the host has only with --allow-overcommit. Network cards of virtual
machines tell no speed: --net is then taken at its word.

Settings come from --config (TOML, the flags' names with '_'), then GRAFOS_CELL_* in the
environment, then flags.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := settings(cmd, config, "GRAFOS_CELL", &s); err != nil {
				return err
			}
			return runAgent(cmd.Context(), s, o.Version, cmd.ErrOrStderr())
		},
	}
	f := cmd.Flags()
	f.StringVar(&config, "config", "", "TOML file with these settings")
	f.StringVar(&s.Identity, "identity", "", "folder that grafos cloud bootstrap-cell wrote")
	f.StringVar(&s.DataDir, "data-dir", "", "directory of blocks, modules and compiled code")
	f.StringSliceVar(&s.Schedulers, "schedulers", nil, "API addresses of schedulers (default: those of the identity)")
	f.StringVar(&s.DataBind, "data-bind", "0.0.0.0:7500", "host:port of the data plane")
	f.StringVar(&s.DataAdvertise, "data-advertise", "", "host:port of the data plane as holders of leases reach it (default: --data-bind, or the host's name with its port)")
	s.addOffer(cmd)
	f.Int64Var(&s.ReserveCPU, "reserve-cpu", 0, "millicores kept for the host")
	f.StringVar(&s.ReserveMem, "reserve-mem", "0", "memory kept for the host and the workers")
	f.StringVar(&s.Block, "block", "0", "what block leases may take in all; 0 is half of the free disk")
	f.StringVar(&s.Zone, "zone", "", "zone of the host")
	f.StringVar(&s.Rack, "rack", "", "rack of the host")
	f.StringSliceVar(&s.Labels, "label", nil, "label of the host, key=value")
	f.StringVar(&s.DebugBind, "debug-bind", "", "loopback host:port of Go's profiles (default: none)")
	f.StringVar(&s.TestFaults, "test-faults", "", "break on purpose, for tests: WHAT:KIND[:TIMES],... (needs "+faultsAllowed+"=1)")
	f.Lookup("test-faults").Hidden = true
	logFlags(cmd, &s.logSettings)
	return cmd
}

func (s agentSettings) reserve() (api.Resources, error) {
	mem, err := sizeOf("reserve-mem", s.ReserveMem)
	if err != nil {
		return api.Resources{}, err
	}
	if s.ReserveCPU < 0 {
		return api.Resources{}, api.Refuse(api.InvalidArgument, "--reserve-cpu is %d: it cannot be negative", s.ReserveCPU)
	}
	return api.Resources{CPU: s.ReserveCPU, Mem: mem}, nil
}

func (s agentSettings) labels() (map[string]string, error) {
	out := map[string]string{}
	for _, l := range s.Labels {
		k, v, ok := strings.Cut(l, "=")
		if !ok || k == "" {
			return nil, api.Refuse(api.InvalidArgument, "label %q is not key=value", ui.Clean(l))
		}
		out[k] = v
	}
	return out, nil
}

// advertise is the data plane's address for others: as given, or with the host's name where
// the one that is bound stands for every address. "" leaves it to what is bound.
func (s agentSettings) advertise() (string, error) {
	host, err := checkAddress("data-bind", s.DataBind, 0)
	if err != nil {
		return "", err
	}
	if s.DataAdvertise != "" {
		_, err := checkAddress("data-advertise", s.DataAdvertise, 1)
		return s.DataAdvertise, err
	}
	if strings.HasSuffix(s.DataBind, ":0") {
		return "", nil
	}
	if ip := net.ParseIP(host); host != "" && (ip == nil || !ip.IsUnspecified()) {
		return "", nil
	}
	return advertised("data-advertise", s.DataBind, "")
}

// agentConfig makes the agent's config from the settings and the identity folder.
func (s agentSettings) agentConfig(version string, w io.Writer) (cellagent.Config, error) {
	if s.Identity == "" || s.DataDir == "" {
		return cellagent.Config{}, api.Refuse(api.InvalidArgument, "--identity and --data-dir are both needed").
			WithHint("make an identity: grafos cloud bootstrap-cell --help")
	}
	id, err := loadCell(s.Identity)
	if err != nil {
		return cellagent.Config{}, err
	}
	reserve, err := s.reserve()
	if err != nil {
		return cellagent.Config{}, err
	}
	offer, err := s.offer()
	if err != nil {
		return cellagent.Config{}, err
	}
	block, err := sizeOf("block", s.Block)
	if err != nil {
		return cellagent.Config{}, err
	}
	labels, err := s.labels()
	if err == nil {
		err = s.faulty(labels)
	}
	if err != nil {
		return cellagent.Config{}, err
	}
	dir, err := filepath.Abs(s.DataDir)
	if err != nil {
		return cellagent.Config{}, err
	}
	if len(s.Schedulers) == 0 {
		s.Schedulers = id.about.Schedulers
	}
	if s.Schedulers, err = schedulerURLs("schedulers", s.Schedulers); err != nil {
		return cellagent.Config{}, err
	}
	log, err := s.open("grafos-cell-agent", w)
	if err != nil {
		return cellagent.Config{}, err
	}
	advertise, err := s.advertise()
	if err != nil {
		return cellagent.Config{}, err
	}
	return cellagent.Config{
		Provider: id.about.Provider, CellID: id.about.CellID, ClusterID: id.about.ClusterID, Dir: dir,
		Schedulers: s.Schedulers, Credential: id.keys.Credential, Identity: id.keys, Roots: id.roots,
		DataBind: s.DataBind, DataAdvertise: advertise, Offer: offer, Reserve: reserve, BlockBytes: block,
		Zone: s.Zone, Rack: s.Rack, Labels: labels, Version: version,
		TestFaults: s.TestFaults, Log: log,
	}, nil
}

// schedulerURLs refuses addresses that no scheduler can have: a cell would ask there for ever. What a comma too many
// has left is no address.
func schedulerURLs(flag string, addresses []string) ([]string, error) {
	addresses = slices.DeleteFunc(slices.Clone(addresses), func(a string) bool { return strings.TrimSpace(a) == "" })
	if len(addresses) == 0 {
		return nil, api.Refuse(api.InvalidArgument, "no scheduler's address is known: --%s is empty", flag).
			WithHint("give them: --%s https://host:7490,...", flag)
	}
	for _, a := range addresses {
		if err := client.CheckURL(a); err != nil {
			return nil, api.Refuse(api.InvalidArgument, "--%s: %s", flag, api.Problem(err).Detail).
				WithHint("give it as https://host:port, such as https://s1.example.org:7490")
		}
	}
	return addresses, nil
}

// runAgent runs a cell until ctx ends or it must stop.
func runAgent(ctx context.Context, s agentSettings, version string, w io.Writer) error {
	c, err := s.agentConfig(version, w)
	if err != nil {
		return err
	}
	if err := c.Validate(); err != nil {
		return api.Refuse(api.InvalidArgument, "%v", err)
	}
	collectLess()
	profiles, err := openDebug(ctx, s.DebugBind)
	if err != nil {
		return err
	}
	agent, err := cellagent.Open(ctx, c)
	if err != nil {
		return errors.Join(listens("data-bind", s.DataBind, err), profiles.Close())
	}
	err = agent.Wait()
	if ctx.Err() != nil {
		err = nil
	}
	return errors.Join(err, agent.Close(), profiles.Close())
}
