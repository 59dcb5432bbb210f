package main

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"strings"
)

// versions says what is measured. The libraries are those that this program was built with,
// from the same go.mod as grafos.
func (b *bench) versions(ctx context.Context) {
	kernel, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		kernel = []byte("unknown")
	}
	b.say("versions: grafos %s, etcd %s, %s, Linux %s", first(ctx, b.bin, "version"), first(ctx, b.peers, "version"),
		runtime.Version(), bytes.TrimSpace(kernel))
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return
	}
	var libs []string
	for _, d := range info.Deps {
		switch d.Path {
		case "github.com/hashicorp/raft", "github.com/hashicorp/raft-boltdb/v2", "github.com/hashicorp/raft-wal", "go.etcd.io/bbolt":
			libs = append(libs, d.Path+" "+d.Version)
		}
	}
	b.say("libraries: %s", strings.Join(libs, ", "))
}

// first is the first line that a program says.
func first(ctx context.Context, program string, args ...string) string {
	out, err := exec.CommandContext(ctx, program, args...).Output()
	if err != nil {
		return "unknown (" + err.Error() + ")"
	}
	line, _, _ := strings.Cut(string(out), "\n")
	return strings.TrimSpace(line)
}

// machine says in which state the machine is before something is measured on it.
func (b *bench) machine() {
	avg, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		avg = []byte("unknown")
	}
	fields := strings.Fields(string(avg))
	b.say("machine: %d cores, load average before %s", runtime.NumCPU(), strings.Join(fields[:min(3, len(fields))], " "))
	b.disk()
}
