package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/integration/internal/harness"
)

// memory: resident memory of idle nodes, a minute after they came up; the binary's size.
func (b *bench) memory(ctx context.Context) error {
	b.title("memory of idle nodes")
	return b.cluster(ctx, 3, func(c *harness.Cluster) error {
		if err := harness.Pause(ctx, 20*time.Second); err != nil {
			return err
		}
		s, err := c.Status(ctx)
		if err != nil {
			return err
		}
		var most [2]int64
		for _, n := range s.Schedulers {
			rss, err := residentBytes(n.PID)
			if err != nil {
				return err
			}
			most[0] = max(most[0], rss)
		}
		for _, n := range s.Cells {
			rss, err := residentBytes(n.PID)
			if err != nil {
				return err
			}
			most[1] = max(most[1], rss)
		}
		info, err := os.Stat(b.bin)
		if err != nil {
			return err
		}
		b.say("scheduler: %s at most   aim: under 60 MiB (Nomad server: 104 to 113 MiB)", api.FormatSize(most[0]))
		b.say("cell:      %s at most   aim: under 50 MiB", api.FormatSize(most[1]))
		b.say("binary:    %.1f MB   aim: under 40 MB (Nomad: 98 MB)", float64(info.Size())/1e6)
		return nil
	})
}

// residentBytes reads the resident memory of a process (proc_pid_status(5)).
func residentBytes(pid int) (int64, error) {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
	if err != nil {
		return 0, err
	}
	for line := range bytes.Lines(b) {
		if rest, ok := bytes.CutPrefix(line, []byte("VmRSS:")); ok {
			kb, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(string(rest)), " kB"), 10, 64)
			return kb << 10, err
		}
	}
	return 0, fmt.Errorf("process %d tells no resident memory", pid)
}

// cpuTime is the processor time that a process used so far, in clock ticks of 10 ms.
func cpuTime(pid int) (time.Duration, error) {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return 0, err
	}
	fields := bytes.Fields(b[bytes.LastIndexByte(b, ')')+1:])
	var sum int64
	for _, f := range fields[11:13] { // utime and stime
		n, err := strconv.ParseInt(string(f), 10, 64)
		if err != nil {
			return 0, err
		}
		sum += n
	}
	return time.Duration(sum) * 10 * time.Millisecond, nil
}
