package node

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"github.com/grafos/grafos/api"
)

// sample is a command whose settings come from everywhere.
type sample struct {
	Name string   `toml:"name"`
	Beat duration `toml:"beat"`
	Join []string `toml:"join"`
	N    int      `toml:"n"`
}

func read(t *testing.T, file string, args ...string) (sample, error) {
	t.Helper()
	var s sample
	cmd := &cobra.Command{Use: "x", SilenceErrors: true, SilenceUsage: true, RunE: func(cmd *cobra.Command, _ []string) error {
		return settings(cmd, file, "GRAFOS_SAMPLE", &s)
	}}
	cmd.Flags().StringVar(&s.Name, "name", "default", "")
	s.Beat = duration(time.Second)
	cmd.Flags().Var(&s.Beat, "beat", "")
	cmd.Flags().StringSliceVar(&s.Join, "join", nil, "")
	cmd.Flags().IntVar(&s.N, "n", 3, "")
	cmd.SetArgs(args)
	return s, cmd.ExecuteContext(t.Context())
}

// TestSettingsInWords: a variable or a file with what a setting does not take is answered in words about it,
// not about what this program made of it.
func TestSettingsInWords(t *testing.T) {
	t.Setenv("GRAFOS_SAMPLE_N", "x")
	if _, err := read(t, ""); api.KindOf(err) != api.InvalidArgument || api.Problem(err).Detail != `GRAFOS_SAMPLE_N is "x": it must be a whole number` {
		t.Errorf("a variable: %v", err)
	}
	t.Setenv("GRAFOS_SAMPLE_N", "1")
	for text, want := range map[string]string{
		`n = "x"`:    ":1:5: n is a TOML string: it must be a whole number",
		`n = 1.5`:    ":1:5: n is a TOML float: it must be a whole number",
		`name = 5`:   ":1:8: name is a TOML integer: it must be a text in quotes",
		`join = 5`:   ":1:8: join is a TOML integer: it must be a list",
		`beat = "x"`: `:1:8: "x" is not a duration such as 250ms, 15s or 5m`,
	} {
		file := filepath.Join(t.TempDir(), "x.toml")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := read(t, file); api.KindOf(err) != api.InvalidArgument || api.Problem(err).Detail != file+want {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// TestSizesNameTheirSetting: of several sizes it is said which one is none.
func TestSizesNameTheirSetting(t *testing.T) {
	good := func() agentSettings {
		return agentSettings{ReserveMem: "0", Block: "0", offerSettings: offerSettings{Mem: "0", Net: "0"}}
	}
	for flag, spoil := range map[string]func(*agentSettings){
		"--reserve-mem": func(s *agentSettings) { s.ReserveMem = "x" },
		"--reserve-cpu": func(s *agentSettings) { s.ReserveCPU = -1 },
		"--mem":         func(s *agentSettings) { s.Mem = "100T" },
		"--net":         func(s *agentSettings) { s.Net = "1.5G" },
	} {
		s := good()
		spoil(&s)
		_, kept := s.reserve()
		_, offered := s.offer()
		if err := errors.Join(kept, offered); api.KindOf(err) != api.InvalidArgument || !strings.Contains(err.Error(), flag) {
			t.Errorf("%s: %v", flag, err)
		}
	}
	if _, err := good().reserve(); err != nil {
		t.Error(err)
	}
	s := serverSettings{SnapshotBytes: "x"}
	if err := s.snapshots(); err == nil || !strings.Contains(err.Error(), "--snapshot-bytes") {
		t.Errorf("snapshot-bytes: %v", err)
	}
}

// TestSettings: defaults, then the file, then the environment, then flags.
func TestSettings(t *testing.T) {
	file := filepath.Join(t.TempDir(), "x.toml")
	if err := os.WriteFile(file, []byte("name = \"file\"\nbeat = \"2s\"\njoin = [\"a\", \"b\"]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := read(t, "")
	if err != nil || s.Name != "default" || s.Beat != duration(time.Second) || s.N != 3 {
		t.Errorf("defaults: %+v %v", s, err)
	}
	s, err = read(t, file)
	if err != nil || s.Name != "file" || s.Beat != duration(2*time.Second) || strings.Join(s.Join, " ") != "a b" || s.N != 3 {
		t.Errorf("file: %+v %v", s, err)
	}
	t.Setenv("GRAFOS_SAMPLE_NAME", "environment")
	t.Setenv("GRAFOS_SAMPLE_JOIN", "c,d")
	s, err = read(t, file)
	if err != nil || s.Name != "environment" || strings.Join(s.Join, " ") != "c d" || s.Beat != duration(2*time.Second) {
		t.Errorf("environment: %+v %v", s, err)
	}
	s, err = read(t, file, "--name", "flag", "--join", "e", "--beat", "5s")
	if err != nil || s.Name != "flag" || strings.Join(s.Join, " ") != "e" || s.Beat != duration(5*time.Second) {
		t.Errorf("flags: %+v %v", s, err)
	}
}

func TestSettingsRefuse(t *testing.T) {
	file := filepath.Join(t.TempDir(), "x.toml")
	if err := os.WriteFile(file, []byte("name = \"a\"\nbeet = \"2s\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := read(t, file)
	if api.KindOf(err) != api.InvalidArgument || !strings.Contains(err.Error(), "x.toml:2") || !strings.Contains(err.Error(), `"beat"`) {
		t.Errorf("an unknown key is answered with %v", err)
	}
	if _, err := read(t, filepath.Join(t.TempDir(), "none.toml")); err == nil {
		t.Error("a file that is not there is taken")
	}
	t.Setenv("GRAFOS_SAMPLE_N", "many")
	if _, err := read(t, ""); api.KindOf(err) != api.InvalidArgument || !strings.Contains(err.Error(), "GRAFOS_SAMPLE_N") {
		t.Errorf("a bad variable is answered with %v", err)
	}
}

func TestServerSettingsComplete(t *testing.T) {
	whole := serverSettings{
		OnDamage: damageRejoin, RaftHeartbeat: duration(500 * time.Millisecond), RaftElection: duration(500 * time.Millisecond), RaftLease: duration(400 * time.Millisecond),
		Name: "s1", DataDir: "d", Material: "m", Bind: "10.0.0.1:1", RaftBind: "0.0.0.0:2", GossipBind: "10.0.0.1:3",
		Heartbeat: duration(time.Second), HeartbeatLimit: duration(3 * time.Second), SnapshotBytes: "1M", Stable: duration(time.Second), BootstrapExpect: 3,
	}
	s := whole
	if err := s.complete(); err != nil {
		t.Fatal(err)
	}
	if s.Advertise != "10.0.0.1:1" || strings.HasPrefix(s.RaftAdvertise, "0.0.0.0") || !filepath.IsAbs(s.DataDir) || s.snapshotBytes != 1<<20 {
		t.Errorf("completed to %+v", s)
	}
	for name, spoil := range map[string]func(*serverSettings){
		"no data dir":     func(s *serverSettings) { s.DataDir = "" },
		"no material":     func(s *serverSettings) { s.Material = "" },
		"heartbeat":       func(s *serverSettings) { s.Heartbeat = duration(time.Millisecond) },
		"limit":           func(s *serverSettings) { s.HeartbeatLimit = s.Heartbeat },
		"raft timers":     func(s *serverSettings) { s.RaftHeartbeat = duration(150 * time.Millisecond) },
		"on damage":       func(s *serverSettings) { s.OnDamage = "shrug" },
		"snapshots":       func(s *serverSettings) { s.Every = duration(time.Hour) },
		"stable":          func(s *serverSettings) { s.Stable = duration(time.Millisecond) },
		"warmup":          func(s *serverSettings) { s.Warmup = -1 },
		"address":         func(s *serverSettings) { s.Advertise = "nowhere" },
		"no size":         func(s *serverSettings) { s.SnapshotBytes = "much" },
		"small snapshots": func(s *serverSettings) { s.SnapshotBytes = "1K" },
		"binding address": func(s *serverSettings) { s.GossipBind = "7492" },
		"binding port":    func(s *serverSettings) { s.RaftBind = "127.0.0.1:99999" },
		"port":            func(s *serverSettings) { s.RaftAdvertise = "10.0.0.1:0" },
		"nobody's":        func(s *serverSettings) { s.Advertise = "0.0.0.0:7490" },
		"no host":         func(s *serverSettings) { s.GossipAdvertise = ":7492" },
		"even":            func(s *serverSettings) { s.BootstrapExpect = 2 },
		"none":            func(s *serverSettings) { s.BootstrapExpect = 0 },
		"join":            func(s *serverSettings) { s.Join = []string{"10.0.0.2:7492", "s3"} },
		"provider":        func(s *serverSettings) { s.Providers = []string{"a b"} },
		"owner":           func(s *serverSettings) { s.Providers = []string{"lab=mine"} },
		"profiles":        func(s *serverSettings) { s.DebugBind = "10.0.0.1:6060" },
		"profiles' port":  func(s *serverSettings) { s.DebugBind = "127.0.0.1:http" },
	} {
		s := whole
		spoil(&s)
		if err := s.complete(); api.KindOf(err) != api.InvalidArgument {
			t.Errorf("%s is taken: %v", name, err)
		}
	}
}

// TestProviders: the well-known ones are there and off, the configured ones on.
func TestProviders(t *testing.T) {
	on := map[api.ProviderID]api.Ownership{}
	list := providers([]string{"local", "lab", "gcp=managed"})
	for _, p := range list {
		if p.Enabled {
			on[p.ID] = p.Ownership
		}
	}
	want := map[api.ProviderID]api.Ownership{"local": api.OwnedByCustomer, "lab": api.OwnedByCustomer, "gcp": api.OwnedManaged}
	if len(list) != 5 || len(on) != len(want) {
		t.Fatalf("got %+v", list)
	}
	for id, o := range want {
		if on[id] != o {
			t.Errorf("%s is %q, want %q", id, on[id], o)
		}
	}
}
