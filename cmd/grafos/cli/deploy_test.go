package cli

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/grafos/grafos/api"
)

func TestDeployRunDefaults(t *testing.T) {
	r := newRig(t)
	r.run("deploy", "run", "--provider", "aws", "--module", "hello.wasm").want(t, 0, "hello\x00world", "working\n")
	want := api.RunRequest{
		Provider: "aws", Tasklet: "hello", Module: r.start.Module, Resources: api.Resources{CPU: 500, Mem: 32 << 20},
		TTLMs: 60_000, Priority: api.PriorityStandard,
	}
	if diff := cmp.Diff(want, r.start); diff != "" {
		t.Errorf("request (-want +got):\n%s", diff)
	}
	if !strings.HasPrefix(string(r.blobs[r.start.Module]), "\x00asm") {
		t.Error("the module was not uploaded")
	}
	if r.run("deploy", "run", "--provider", "aws", "--module", "hello.wasm"); slices.Contains(r.calls[len(r.calls)-4:], "PutBlob") {
		t.Errorf("the module was uploaded again: %v", r.calls)
	}
}

func TestDeployRunEverything(t *testing.T) {
	r := newRig(t)
	r.stdin = strings.NewReader("from stdin")
	r.run("deploy", "run", "--provider", "aws", "--module", "hello.wasm", "--tasklet", "t", "--cpu", "2000", "--mem", "64M", "--block", "1M",
		"--net", "1M", "--gpu", "1", "--ttl", "5m", "--input", "-", "--env", "A=1", "--env", "B=x=y", "--priority", "scavenger",
		"--fuel", "unlimited", "--retries", "2", "--tenant", "acme", "--", "-v", "--flag", "arg").want(t, 0, "", "")
	want := api.RunRequest{
		Provider: "aws", Tenant: "acme", Tasklet: "t", Module: r.start.Module, Input: r.start.Input, Invocation: r.start.Invocation,
		Resources: api.Resources{CPU: 2000, Mem: 64 << 20, Block: 1 << 20, Net: 1 << 20, GPU: 1},
		TTLMs:     300_000, Priority: api.PriorityScavenger, Fuel: -1, Retries: 2,
	}
	if diff := cmp.Diff(want, r.start); diff != "" {
		t.Errorf("request (-want +got):\n%s", diff)
	}
	if got := string(r.blobs[r.start.Input]); got != "from stdin" {
		t.Errorf("input is %q", got)
	}
	var call api.Invocation
	if err := json.Unmarshal(r.blobs[r.start.Invocation], &call); err != nil {
		t.Fatal(err)
	}
	wantCall := api.Invocation{Args: []string{"-v", "--flag", "arg"}, Env: []string{"A=1", "B=x=y"}}
	if diff := cmp.Diff(wantCall, call); diff != "" {
		t.Errorf("invocation (-want +got):\n%s", diff)
	}
}

// TestDeployNetwork: where a tasklet may connect to comes from its program or from flags, and is refused before anything is sent
// where it cannot be.
func TestDeployNetwork(t *testing.T) {
	r := newRig(t)
	deploy := func(args ...string) result {
		return r.run(append([]string{"deploy", "run", "--provider", "aws", "--module", "hello.wasm"}, args...)...)
	}
	deploy("--net", "1000000", "--allow", "127.0.0.1:9000", "--allow", "api.example.com:443").want(t, 0, "", "")
	want := &api.Terms{Egress: []string{"127.0.0.1:9000", "api.example.com:443"}}
	if diff := cmp.Diff(want, r.start.Terms); diff != "" || r.start.Resources.Net != 1_000_000 {
		t.Errorf("net %d, terms (-want +got):\n%s", r.start.Resources.Net, diff)
	}
	deploy("--net", "1000000").want(t, 0, "", "")
	if r.start.Terms != nil {
		t.Errorf("terms are %+v", r.start.Terms)
	}
	calls := len(r.calls)
	deploy("--allow", "127.0.0.1:9000").want(t, 2, "", "--net BITS")
	deploy("--net", "1M", "--allow", "127.0.0.1").want(t, 2, "", "HOST:PORT")
	r.run("deploy", "plan", "--provider", "aws", "--allow", "127.0.0.1:1").want(t, 2, "", "--net BITS")
	if len(r.calls) != calls {
		t.Errorf("something was sent: %v", r.calls[calls:])
	}
	r.program("[[tasklet]]\nname = \"a\"\nmodule = \"extract.wasm\"\nnet = 5000\nallow = [\"a.example:1\"]\n")
	r.run("deploy", "run", "etl", "--provider", "aws").want(t, 0, "", "")
	if got := r.start; got.Resources.Net != 5000 || got.Terms == nil || got.Terms.Egress[0] != "a.example:1" {
		t.Errorf("of the program: %+v", got)
	}
	r.run("deploy", "run", "etl", "--provider", "aws", "--net", "6000", "--allow", "b.example:2").want(t, 0, "", "")
	if got := r.start; got.Resources.Net != 6000 || len(got.Terms.Egress) != 1 || got.Terms.Egress[0] != "b.example:2" {
		t.Errorf("of flags: %+v", got)
	}
}

const twoTasklets = `[program]
name = "etl"

[[tasklet]]
name = "extract"
module = "extract.wasm"
cpu = 1000
mem = "64M"
ttl = "2m"
args = ["--all"]
env = { LEVEL = "info", MODE = "x" }

[[tasklet]]
name = "load"
module = "sub/load.wasm"
profile = "tasklet-profile-v0"
block = "1M"
`

func (r *rig) program(text string) {
	r.t.Helper()
	if err := os.MkdirAll(filepath.Join(r.dir, "etl", "sub"), 0o755); err != nil {
		r.t.Fatal(err)
	}
	r.file("etl/grafos.toml", text)
	r.file("etl/extract.wasm", "\x00asm extract")
	r.file("etl/sub/load.wasm", "\x00asm load")
}

func TestDeployProgram(t *testing.T) {
	r := newRig(t)
	r.program(twoTasklets)
	r.run("deploy", "run", "etl", "--provider", "aws").want(t, 2, "", "extract, load")
	r.run("deploy", "run", "etl", "--provider", "aws", "--tasklet", "extrct").want(t, 2, "", "Hint: --tasklet extract")
	r.run("deploy", "run", "etl", "--provider", "aws", "--tasklet", "extract", "--env", "MODE=y", "--mem", "128M", "--", "-n").want(t, 0, "", "")
	if got := r.start; got.Resources != (api.Resources{CPU: 1000, Mem: 128 << 20}) || got.TTLMs != 120_000 || got.Tasklet != "extract" {
		t.Errorf("request is %+v", got)
	}
	if got, want := string(r.blobs[r.start.Invocation]), `{"args":["-n"],"env":["LEVEL=info","MODE=y"]}`; got != want {
		t.Errorf("invocation is %s, want %s", got, want)
	}
	r.run("deploy", "run", "etl", "--provider", "aws", "--tasklet", "load").want(t, 0, "", "")
	if got := r.start; got.Profile != api.ProfileV0 || got.Resources.Block != 1<<20 || string(r.blobs[got.Module]) != "\x00asm load" {
		t.Errorf("request is %+v", got)
	}
}

func TestBadPrograms(t *testing.T) {
	tests := map[string]struct{ text, err string }{
		"unknown key":      {"[[tasklet]]\nname = \"a\"\nmemm = \"64M\"\n", `grafos.toml:3:1: unknown key "memm": did you mean "mem"?`},
		"unknown table":    {"[programm]\nname = \"a\"\n[[tasklet]]\nname=\"a\"\n", `did you mean "program"?`},
		"wrong type":       {"[[tasklet]]\ncpu = \"two\"\n", "grafos.toml:2:7"},
		"bad size":         {"[[tasklet]]\nmem = \"64Q\"\n", "64Q"},
		"bad ttl":          {"[[tasklet]]\nname=\"a\"\nttl = \"1 day\"\n", "1 day"},
		"no tasklet":       {"[program]\nname = \"a\"\n", "needs a [[tasklet]]"},
		"not toml":         {"[[", "grafos.toml:1"},
		"no module":        {"[[tasklet]]\nname=\"a\"\n", "has no module"},
		"negative cpu":     {"[[tasklet]]\nmodule=\"extract.wasm\"\ncpu = -1\n", "negative"},
		"unknown profile":  {"[[tasklet]]\nmodule=\"extract.wasm\"\nprofile = \"x\"\n", "profile"},
		"missing module":   {"[[tasklet]]\nmodule=\"nope.wasm\"\n", "nope.wasm"},
		"variable name":    {"[[tasklet]]\nmodule=\"extract.wasm\"\nenv = [\"A=1\"]\n", "grafos.toml:3"},
		"several mistakes": {"[[tasklet]]\nnam = \"a\"\nmodul = \"m\"\n", `unknown key "modul"`},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			r.program(tt.text)
			got := r.run("deploy", "run", "etl", "--provider", "aws")
			got.want(t, 2, "", tt.err)
			if strings.Count(got.err, "(invalid_argument)") != 1 {
				t.Errorf("its kind is not there once: %s", got.err)
			}
		})
	}
}

func TestDeployRunFollows(t *testing.T) {
	r := newRig(t)
	r.follow = []api.RunState{api.RunPlaced, api.RunRunning, api.RunRunning, api.RunSucceeded}
	r.inline = "inline text"
	r.run("deploy", "run", "--provider", "aws", "--module", "hello.wasm").want(t, 0, "inline text", "")
	if r.read.AfterIndex != fakeIndex || r.read.Wait == 0 {
		t.Errorf("the run was polled: %+v", r.read)
	}
}

func TestDeployRunJSON(t *testing.T) {
	r := newRig(t)
	r.follow = []api.RunState{api.RunRunning, api.RunSucceeded, api.RunSucceeded}
	got := r.run("deploy", "run", "--provider", "aws", "--module", "hello.wasm", "--json")
	got.want(t, 0, "", "")
	var run api.RunAnswer
	if err := json.Unmarshal([]byte(got.out), &run); err != nil || run.ID != "r-5b01aa" || !run.Finalised {
		t.Errorf("run is %+v, %v", run, err)
	}
	if got.err != "" {
		t.Errorf("stderr is %q", got.err)
	}
}

func TestDeployRunFails(t *testing.T) {
	r := newRig(t)
	r.runs[0] = r.runs[1]
	r.run("deploy", "run", "--provider", "aws", "--module", "hello.wasm").want(t, 1, "", "Error: the tasklet exited with code 3  (exit_nonzero)")
	got := r.run("deploy", "run", "--provider", "aws", "--module", "hello.wasm", "--json")
	got.want(t, 1, `"failure":{"kind":"exit_nonzero"`, "")
	if got.err != "" {
		t.Errorf("stderr beside a run document: %q", got.err)
	}
}

func TestDeployRunRefused(t *testing.T) {
	r := newRig(t)
	r.once["StartRun"] = api.Refuse(api.RuntimeNotReady, "no cell of provider aws is ready")
	got := r.run("deploy", "run", "--provider", "aws", "--module", "hello.wasm", "--json")
	if p := got.problem(t); got.code != 4 || p.Kind != api.RuntimeNotReady {
		t.Errorf("exit %d, kind %s", got.code, p.Kind)
	}
}

func TestDeployRunInterrupted(t *testing.T) {
	r := newRig(t)
	ctx, cancel := context.WithCancel(t.Context())
	r.follow = []api.RunState{api.RunRunning, api.RunRunning, api.RunRunning}
	r.after = func(f *fake) {
		cancel()
		f.once["ShowRun"] = context.Canceled
	}
	r.runIn(ctx, "deploy", "run", "--provider", "aws", "--module", "hello.wasm").want(t, 1, "", "run r-5b01aa goes on")
}

func TestDeployRunLosesTheCluster(t *testing.T) {
	r := newRig(t)
	r.follow = []api.RunState{api.RunRunning, api.RunRunning}
	r.once["ShowRun"] = api.Refuse(api.NoLeader, "there is no leader")
	r.run("deploy", "run", "--provider", "aws", "--module", "hello.wasm").want(t, 8, "", "grafos run show r-5b01aa -w")
}

func TestDeployRunDetached(t *testing.T) {
	r := newRig(t)
	r.follow = []api.RunState{api.RunRunning}
	got := r.run("deploy", "run", "--provider", "aws", "--module", "hello.wasm", "--detach")
	if got.code != 0 || got.out != "r-5b01aa\n" {
		t.Errorf("exit %d, stdout %q", got.code, got.out)
	}
}

func TestForgedArtifactIsNotPrinted(t *testing.T) {
	r := newRig(t)
	r.outputs[api.ArtifactOutput] = []byte(base64.StdEncoding.EncodeToString([]byte("hello\x00WORLD")))
	got := r.run("deploy", "run", "--provider", "aws", "--module", "hello.wasm")
	got.want(t, 2, "", "digest_mismatch")
	if got.out != "" {
		t.Errorf("stdout has %q", got.out)
	}
}

func TestPlanRefused(t *testing.T) {
	r := newRig(t)
	r.plan.Decision, r.plan.CellID, r.plan.Refusal = api.DecisionRefuse, "", api.Refuse(api.PlacementFailed, "3 of 3 cells vetoed")
	r.env["GRAFOS_FORCE_TTY"] = "100"
	r.run("deploy", "plan", "--provider", "aws").want(t, 4, "refuse  3 of 3 cells vetoed  (placement_failed)", "")
	r.env["GRAFOS_FORCE_TTY"] = ""
	got := r.run("deploy", "plan", "--provider", "aws")
	if got.want(t, 4, "", "Error: 3 of 3 cells vetoed  (placement_failed)"); strings.Contains(got.out, "refuse") {
		t.Errorf("a pipe gets a row a cell, and not\n%s", got.out)
	}
	got = r.run("deploy", "plan", "--provider", "aws", "--json")
	got.want(t, 4, `"decision":"refuse"`, "")
	if got.err != "" {
		t.Errorf("stderr beside a plan: %q", got.err)
	}
}

func TestArtifacts(t *testing.T) {
	r := newRig(t)
	r.run("artifacts", "r-5b0", "--name", "stderr.log").want(t, 0, "working\n", "")
	r.run("artifacts", "r-5b01aa", "--name", "nope").want(t, 5, "", "Hint: it has response.json, output.b64, stderr.log")
	r.run("artifacts", "r-5b01aa", "--name", "stderr.log", "--out", "log.txt").want(t, 0, "", "")
	if text, err := os.ReadFile(filepath.Join(r.dir, "log.txt")); err != nil || string(text) != "working\n" {
		t.Errorf("log.txt: %q, %v", text, err)
	}
	r.run("artifacts", "r-5b01aa", "--out", "all", "--json").want(t, 0, `"path":`, "")
	entries, err := os.ReadDir(filepath.Join(r.dir, "all"))
	if err != nil || len(entries) != 3 {
		t.Errorf("all/: %v, %v", entries, err)
	}
}

func TestArtifactNamesStayInside(t *testing.T) {
	r := newRig(t)
	r.runs[0].Artifacts[2].Name = "../../escape"
	r.outputs["../../escape"] = r.outputs[api.ArtifactLog]
	r.run("artifacts", "r-5b01aa", "--out", "all").want(t, 2, "", "escape")
	if _, err := os.Stat(filepath.Join(filepath.Dir(r.dir), "escape")); err == nil {
		t.Error("an artifact was written outside its directory")
	}
}

func TestForgedArtifactLeavesNoFile(t *testing.T) {
	r := newRig(t)
	r.outputs[api.ArtifactLog] = []byte("forged!\n")
	r.run("artifacts", "r-5b01aa", "--name", "stderr.log", "--out", "log.txt").want(t, 2, "", "digest_mismatch")
	entries, err := os.ReadDir(r.dir)
	if err != nil || len(entries) != 1 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
}

func FuzzProgram(f *testing.F) {
	f.Add([]byte(twoTasklets))
	f.Add([]byte("[[tasklet]]\nenv = {}\nmem = 7\n"))
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, text []byte) {
		if err := os.WriteFile(filepath.Join(dir, programFile), text, 0o600); err != nil {
			t.Fatal(err)
		}
		p, err := loadProgram(dir)
		if err != nil {
			if kind := api.KindOf(err); kind != api.InvalidArgument && kind != api.TooLarge {
				t.Errorf("%v", err)
			}
			return
		}
		for _, name := range append([]string{""}, p.Tasklets[0].Name) {
			if _, err := p.pick(name, dir); err != nil && api.KindOf(err) != api.InvalidArgument {
				t.Errorf("%v", err)
			}
		}
	})
}

// TestDeployRunGPU: how gpus are had is in the request, beside where the tasklet may connect to.
func TestDeployRunGPU(t *testing.T) {
	r := newRig(t)
	deploy := func(args ...string) result {
		return r.run(append([]string{"deploy", "run", "--provider", "aws", "--module", "hello.wasm"}, args...)...)
	}
	deploy("--gpu", "2", "--gpu-class", "shared", "--gpu-share", "0.25", "--net", "1M", "--allow", "127.0.0.1:9000").want(t, 0, "", "")
	want := &api.Terms{Egress: []string{"127.0.0.1:9000"}, GPU: &api.GPUTerms{Class: api.GPUShared, ShareMilli: 250}}
	if diff := cmp.Diff(want, r.start.Terms); diff != "" {
		t.Errorf("terms (-want +got):\n%s", diff)
	}
	deploy("--gpu-class", "shared").want(t, 2, "", "none is asked for")
	deploy("--gpu", "1", "--gpu-share", "0.5").want(t, 2, "", "--gpu-class")
}
