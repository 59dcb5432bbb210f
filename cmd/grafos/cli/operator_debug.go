package cli

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/cmd/grafos/internal/ui"
)

// debugAnswer says what a bundle holds.
type debugAnswer struct {
	File       string       `json:"file"`
	Bytes      int          `json:"bytes"`
	Schedulers []debugOfOne `json:"schedulers"`
}

type debugOfOne struct {
	Node  api.NodeID `json:"node_id"`
	URL   string     `json:"url"`
	Error string     `json:"error,omitempty"` // why it is not in the bundle
}

func (a *app) debug() *cobra.Command {
	return &cobra.Command{
		Use:   "debug [FILE]",
		Short: "Gather what every scheduler says of itself into one file",
		Long: `Gather what every scheduler says of itself into one file, a tar.gz: state, Raft, the
members, configuration, metrics, goroutines, the newest log lines and events, versions. It
holds no secret, but names of tenants, cells and hosts. FILE is grafos-debug-TIME.tar.gz
where it is not given.`,
		Args: atMostOne("FILE"),
		RunE: a.online(func(ctx context.Context, s *session, args []string) error {
			file := "grafos-debug-" + s.Now().UTC().Format("20060102T150405Z") + ".tar.gz"
			if len(args) > 0 {
				file = args[0]
			}
			answer, err := a.gather(ctx, s, file)
			if err != nil {
				return err
			}
			return s.Print(answer, func(p *ui.Page) { debugView(p, answer) })
		}),
	}
}

// gather asks every scheduler that one of them knows. Those that do not answer are named.
func (a *app) gather(ctx context.Context, s *session, file string) (*debugAnswer, error) {
	list, err := s.Schedulers(ctx)
	if err != nil {
		return nil, err
	}
	// All at the same time: it is needed most when some of them do not answer.
	ctx, cancel := context.WithTimeout(ctx, debugWait)
	defer cancel()
	var members *api.RaftMembers
	var leaderless error
	reports, errs := make([]*api.DebugReport, len(list.Schedulers)), make([]error, len(list.Schedulers))
	var wg sync.WaitGroup
	wg.Go(func() { members, leaderless = s.RaftMembers(ctx) })
	for i, n := range list.Schedulers {
		wg.Go(func() { reports[i], errs[i] = a.askOne(ctx, s, n.URL) })
	}
	wg.Wait()
	b := newBundle(s.Now())
	b.json("schedulers.json", list)
	if leaderless == nil {
		b.json("members.json", members)
	} else {
		b.text("members.error.txt", leaderless.Error())
	}
	answer := &debugAnswer{File: file, Schedulers: []debugOfOne{}}
	for i, n := range list.Schedulers {
		one := debugOfOne{Node: n.Node, URL: n.URL}
		if errs[i] != nil {
			one.Error = errs[i].Error()
			b.text(path.Join(string(n.Node), "error.txt"), one.Error)
		} else {
			b.report(string(n.Node), reports[i])
		}
		answer.Schedulers = append(answer.Schedulers, one)
	}
	packed, err := b.pack()
	if err != nil {
		return nil, err
	}
	answer.Bytes = len(packed)
	if err := os.WriteFile(file, packed, 0o600); err != nil {
		return nil, ui.FileError(fmt.Errorf("write the bundle: %w", err))
	}
	return answer, nil
}

// debugWait is how long a bundle waits for those that do not answer, and for a leader.
const debugWait = 5 * time.Second

// askOne asks one scheduler alone.
func (a *app) askOne(ctx context.Context, s *session, url string) (report *api.DebugReport, err error) {
	if url == "" {
		return nil, api.Refuse(api.NotFound, "its address is not known: it is down")
	}
	conn := s.conn
	conn.URLs = []string{url}
	one, err := a.o.Connect(conn)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, one.Close()) }()
	return one.Debug(ctx)
}

// bundle is a tar.gz in the making; its first error is told when it is packed.
type bundle struct {
	buf  bytes.Buffer
	zip  *gzip.Writer
	tar  *tar.Writer
	when time.Time
	err  error
}

func newBundle(now time.Time) *bundle {
	b := &bundle{when: now}
	b.zip = gzip.NewWriter(&b.buf)
	b.tar = tar.NewWriter(b.zip)
	return b
}

func (b *bundle) text(name, content string) {
	if b.err != nil {
		return
	}
	head := &tar.Header{Name: path.Join("grafos-debug", name), Mode: 0o600, Size: int64(len(content)), ModTime: b.when}
	if b.err = b.tar.WriteHeader(head); b.err == nil {
		_, b.err = b.tar.Write([]byte(content))
	}
}

func (b *bundle) json(name string, v any) {
	content, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		b.err = errors.Join(b.err, err)
		return
	}
	b.text(name, string(content)+"\n")
}

func (b *bundle) report(dir string, r *api.DebugReport) {
	b.json(path.Join(dir, "state.json"), r.State)
	b.json(path.Join(dir, "raft.json"), r.Raft)
	b.json(path.Join(dir, "config.json"), r.Process.Config)
	b.json(path.Join(dir, "build.json"), r.Process.Build)
	b.json(path.Join(dir, "events.json"), r.Events)
	b.text(path.Join(dir, "log.txt"), r.Process.Log)
	b.text(path.Join(dir, "goroutines.txt"), r.Process.Goroutines)
	b.text(path.Join(dir, "metrics.txt"), r.Process.Metrics)
}

func (b *bundle) pack() ([]byte, error) {
	if err := errors.Join(b.err, b.tar.Close(), b.zip.Close()); err != nil {
		return nil, fmt.Errorf("pack the bundle: %w", err)
	}
	return b.buf.Bytes(), nil
}

func debugView(p *ui.Page, a *debugAnswer) {
	p.Name(a.File)
	t := ui.Table{Header: []string{"SCHEDULER", "URL", "IN THE BUNDLE"}}
	for _, s := range a.Schedulers {
		in := yesNo(true).In(ui.Good)
		if s.Error != "" {
			in = ui.V(s.Error, "false").In(ui.Bad)
		}
		t.Row(ui.ID(s.Node), orDash(s.URL), in)
	}
	p.Table(t)
	p.Line(ui.Span{Text: a.File, Style: ui.Bold})
}
