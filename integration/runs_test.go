package integration

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/grafos/grafos/api"
)

// lines collects the lines of a stream that are not empty.
type lines struct {
	scan *bufio.Scanner
	got  []string
}

func newLines(r io.Reader) *lines { return &lines{scan: bufio.NewScanner(r)} }

func (l *lines) next() bool {
	for l.scan.Scan() {
		if l.scan.Text() != "" {
			l.got = append(l.got, l.scan.Text())
			return true
		}
	}
	return false
}

// testRuns lets tasklets misbehave. Each has a record, printed whole, and exits 1.
func (d *door) testRuns(t *testing.T) {
	defer d.sound(t)
	flood := strings.Repeat("x", 60_000)
	for _, tt := range []struct {
		name   string
		module func() []byte
		flags  string
		state  api.RunState
		kind   api.Kind
		code   int
		says   string
	}{
		{"exit-3", func() []byte { return command(1, "bye\n", say(1), exit(3)) }, "", api.RunFailed, api.ExitNonzero, 3, "3"},
		{"trap", func() []byte { return command(1, "", trap()) }, "", api.RunFailed, api.Trap, -1, "unreachable"},
		{"deadline", func() []byte { return command(1, "", forever()) }, "--ttl 1s", api.RunExpired, api.DeadlineExceeded, -1, "deadline"},
		{"flood", func() []byte { return command(1, flood, forever(say(1))) }, "", api.RunFailed, api.OutputExceeded, -1, "8388608"},
		{"log-flood", func() []byte { return command(1, flood, forever(say(2))) }, "", api.RunFailed, api.OutputExceeded, -1, "1048576"},
		{"memory", func() []byte { return command(1, "", grow(1000), trap()) }, "--mem 1M", api.RunFailed, api.MemoryExceeded, -1, "1048576"},
		{"memory-from-the-start", func() []byte { return command(64, "") }, "--mem 1M", api.RunFailed, api.MemoryExceeded, -1, "1048576"},
		{"text", func() []byte { return []byte("#!/bin/sh\necho this is no module\n") }, "", api.RunFailed, api.InvalidModule, -1, "WebAssembly"},
		{"cut", func() []byte { return hello()[:40] }, "", api.RunFailed, api.InvalidModule, -1, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			args := append([]string{"deploy", "run", "--provider", "local", "--module", d.module(t, tt.name, tt.module)}, strings.Fields(tt.flags)...)
			said := d.exec(t, nil, append(args, "--json")...)
			var run api.RunAnswer
			oneDocument(t, said.Stdout, &run)
			fits(t, runShape[:strings.LastIndex(runShape, `,"artifacts"`)]+`,"leases":[`+leaseShape+`],"failure":{"kind":"text","message":"text"}}`, said.Stdout)
			if said.Code != 1 || len(said.Stderr) > 0 {
				t.Errorf("exit %d, standard error %q", said.Code, said.Stderr)
			}
			if run.State != tt.state || run.Failure.Kind != tt.kind || !strings.Contains(run.Failure.Message, tt.says) {
				t.Errorf("%s, %s: %s", run.State, run.Failure.Kind, run.Failure.Message)
			}
			if tt.code >= 0 && run.ExitCode != tt.code {
				t.Errorf("exit code %d, want %d", run.ExitCode, tt.code)
			}
			ended(t, run)
			envelope(t, d, run)
		})
	}
	t.Run("streams", func(t *testing.T) {
		file := d.module(t, "both", func() []byte { return command(1, "same on both\n", say(1), say(2), exit(3)) })
		said := d.exec(t, nil, "deploy", "run", "--provider", "local", "--module", file)
		// Behind what the tasklet wrote stands why it failed, for a person.
		if string(said.Stdout) != "same on both\n" || !strings.HasPrefix(string(said.Stderr), "same on both\nError: ") || said.Code != 1 {
			t.Errorf("exit %d, %q, %q", said.Code, said.Stdout, said.Stderr)
		}
	})
	t.Run("real program", func(t *testing.T) {
		file := guest(t, "echo")
		input := []byte("line one\nbytes \x00\xff end")
		said := d.exec(t, input, "deploy", "run", "--provider", "local", "--module", file, "--mem", "64M", "--input", "-", "--env", "A=b", "--", "-x", "--json")
		if string(said.Stdout) != string(input) || string(said.Stderr) != "[-x --json]\n" || said.Code != 0 {
			t.Errorf("exit %d, %q, %q", said.Code, said.Stdout, said.Stderr)
		}
	})
	t.Run("through every scheduler", func(t *testing.T) {
		for at, u := range d.urls {
			file := d.module(t, fmt.Sprintf("through-%d", at), func() []byte { return command(1, u, say(1)) })
			said := d.exec(t, nil, "deploy", "run", "--provider", "local", "--module", file, "--fabric", u)
			if string(said.Stdout) != u || said.Code != 0 {
				t.Errorf("through %s: exit %d, %q, %s", u, said.Code, said.Stdout, said.Stderr)
			}
		}
	})
	t.Run("detached", func(t *testing.T) {
		file := d.module(t, "spin", func() []byte { return command(1, "", forever()) })
		var run api.RunAnswer
		d.into(t, &run, "deploy", "run", "--provider", "local", "--module", file, "--ttl", "60s", "--detach")
		for _, l := range run.Leases {
			d.must(t, "lease", "revoke", string(l.ID), "--yes", "--reason", "the test has seen enough")
		}
		eventually(t, 10*time.Second, func() string {
			d.into(t, &run, "run", "show", string(run.ID))
			if !run.Finalised {
				return "run is " + string(run.State)
			}
			return ""
		})
		if run.State != api.RunRevoked {
			t.Errorf("a run whose leases were revoked is %s", run.State)
		}
	})
	t.Run("cooperative", d.testCooperative)
	t.Run("prefix", func(t *testing.T) {
		var list api.RunList
		d.into(t, &list, "run", "list")
		var show api.RunAnswer
		d.into(t, &show, "run", "show", string(list.Runs[0].ID)[:14])
		if show.ID != list.Runs[0].ID {
			t.Errorf("%s is not %s", show.ID, list.Runs[0].ID)
		}
		d.refuse(t, api.InvalidArgument, 2, "ambiguous", "run", "show", "r-")
		d.refuse(t, api.NotFound, 5, "run list", "run", "show", "r-nosuchrun")
	})
	t.Run("dry run", func(t *testing.T) {
		var before, after api.RunList
		d.into(t, &before, "run", "list")
		said := d.exec(t, nil, "deploy", "run", "--provider", "local", "--module", d.module(t, "dry", func() []byte { return command(1, "dry", say(1)) }), "--dry-run", "--json")
		d.into(t, &after, "run", "list")
		if said.Code != 0 || len(after.Runs) != len(before.Runs) {
			t.Errorf("exit %d, %d runs before and %d after", said.Code, len(before.Runs), len(after.Runs))
		}
	})
	t.Run("empty module", func(t *testing.T) {
		file := d.module(t, "empty", func() []byte { return nil })
		d.refuse(t, api.InvalidArgument, 2, "is empty", "deploy", "run", "--provider", "local", "--module", file)
	})
	t.Run("program", func(t *testing.T) {
		dir := filepath.Join(d.scratch, "program")
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		d.module(t, "program/greet", hello)
		program := func(text string) {
			if err := os.WriteFile(filepath.Join(dir, "grafos.toml"), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		program("[[tasklet]]\nname = \"greet\"\nmodule = \"greet.wasm\"\nmem = \"1M\"\n")
		if said := d.exec(t, nil, "deploy", "run", dir, "--provider", "local"); string(said.Stdout) != "hello, world\n" {
			t.Errorf("exit %d, %q, %q", said.Code, said.Stdout, said.Stderr)
		}
		program("[[tasklet]]\nname = \"greet\"\nmodule = \"greet.wasm\"\nmemm = \"1M\"\n")
		d.refuse(t, api.InvalidArgument, 2, `did you mean "mem"`, "deploy", "run", dir, "--provider", "local")
	})
}

// ended demands a record that is final: the result is there and nothing is held any more.
func ended(t *testing.T, run api.RunAnswer) {
	t.Helper()
	if !run.Finalised || len(run.Leases) != 2 {
		t.Errorf("finalised %v, %d leases", run.Finalised, len(run.Leases))
	}
	for _, l := range run.Leases {
		if !l.State.Terminal() || l.RunID != run.ID {
			t.Errorf("lease %s of run %q is %s", l.ID, l.RunID, l.State)
		}
	}
}

// envelope compares response.json with the record.
func envelope(t *testing.T, d *door, run api.RunAnswer) {
	t.Helper()
	var r api.Response
	resp, b := d.send(t, call{who: operator, path: "/api/v1/runs/" + string(run.ID) + "/artifacts/" + api.ArtifactResponse, at: 1})
	if resp.StatusCode != http.StatusOK {
		t.Errorf("response.json: %s: %s", resp.Status, b)
		return
	}
	oneDocument(t, b, &r)
	if r.RunID != run.ID || r.State != run.State || r.ExitCode != run.ExitCode || r.Failure == nil || *r.Failure != run.Failure {
		t.Errorf("response.json is %+v, the record says %s, exit %d, %+v", r, run.State, run.ExitCode, run.Failure)
	}
}

// testArtifacts fetches what the hello of the shapes left, by the command line and by HTTP.
func (d *door) testArtifacts(t *testing.T) {
	run := d.first
	dir := filepath.Join(d.scratch, "artifacts")
	var doc json.RawMessage
	oneDocument(t, d.must(t, "artifacts", string(run.ID)), &doc)
	if said := d.exec(t, nil, "artifacts", string(run.ID), "--name", api.ArtifactLog); string(said.Stdout) != "hello, world\n" {
		t.Errorf("%s: exit %d, %q", api.ArtifactLog, said.Code, said.Stdout)
	}
	d.must(t, "artifacts", string(run.ID), "--out", dir)
	for _, a := range run.Artifacts {
		if info, err := os.Stat(filepath.Join(dir, a.Name)); err != nil || info.Size() != a.Size {
			t.Errorf("artifact %s: %v", a.Name, err)
		}
	}
	d.refuse(t, api.NotFound, 5, "no artifact", "artifacts", string(run.ID), "--name", "secret.txt")
	for at := range d.urls {
		resp, b := d.send(t, call{who: operator, path: "/api/v1/runs/" + string(run.ID) + "/artifacts/" + api.ArtifactOutput, at: at})
		raw, err := base64.StdEncoding.DecodeString(strings.TrimSpace(string(b)))
		if resp.StatusCode != http.StatusOK || err != nil || string(raw) != "hello, world\n" {
			t.Errorf("output.b64 at %d: %s: %q", at, resp.Status, b)
		}
	}
	resp, b := d.send(t, call{who: operator, path: "/api/v1/runs/" + string(run.ID) + "/logs"})
	if resp.StatusCode != http.StatusOK || string(b) != "hello, world\n" {
		t.Errorf("logs: %s: %q", resp.Status, b)
	}
	d.refuseHTTP(t, api.NotFound, "no artifact", call{who: operator, path: "/api/v1/runs/" + string(run.ID) + "/artifacts/secret.txt"})
}
