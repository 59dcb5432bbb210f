package node

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/capbroker/pki"
	"github.com/grafos/grafos/cmd/grafos/internal/ui"
)

// devAnswer is what dev up and dev status say.
type devAnswer struct {
	Schedulers []devScheduler `json:"schedulers"`
	Cells      []devCell      `json:"cells"`
	Console    string         `json:"console"`
	CA         string         `json:"ca"`
	Tenant     string         `json:"tenant"`
	Dir        string         `json:"dir"`
	*devTimes
}

// devTimes is how long dev up needed to the first committed write, and in all.
type devTimes struct {
	LeaderMs int64 `json:"leader_ms"`
	UpMs     int64 `json:"up_ms"`
}

type devScheduler struct {
	Name string `json:"name"`
	PID  int    `json:"pid"`
	URL  string `json:"url"`
	Role string `json:"role"` // leader, follower or down
	Log  string `json:"log"`
}

type devCell struct {
	Name string `json:"name"`
	PID  int    `json:"pid"`
	// Running is what the kernel says of its process, Ready what the schedulers say of it.
	Running bool   `json:"running"`
	Ready   bool   `json:"ready"`
	Why     string `json:"why,omitempty"`
	Log     string `json:"log"`
}

// askTime bounds a question to one node.
const askTime = 2 * time.Second

// askNode asks one scheduler what it is.
func (d *dev) askNode(ctx context.Context, n *devNode) (*api.NodeState, error) {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	c, err := d.client(n.URL)
	if err != nil {
		return nil, err
	}
	st, err := c.NodeState(ctx)
	return st, errors.Join(err, c.Close())
}

func (d *dev) status(ctx context.Context) (*devAnswer, error) {
	if d.state.empty() {
		return nil, noDev(d.dir)
	}
	a := &devAnswer{
		Schedulers: make([]devScheduler, len(d.state.Schedulers)), Cells: make([]devCell, len(d.state.Cells)),
		CA: d.path(d.state.CA), Tenant: d.state.Tenant, Dir: d.dir,
	}
	var wg sync.WaitGroup
	for i, n := range d.state.Schedulers {
		a.Schedulers[i] = devScheduler{Name: n.Name, PID: n.PID, URL: n.URL, Role: "down", Log: d.path(n.Log)}
		if !n.alive() {
			continue
		}
		wg.Go(func() {
			if st, err := d.askNode(ctx, n); err == nil {
				a.Schedulers[i].Role = roleOf(st)
			}
		})
	}
	wg.Wait()
	cells := d.cells(ctx, a.Schedulers)
	for i, n := range d.state.Cells {
		c := devCell{Name: n.Name, PID: n.PID, Running: n.alive(), Log: d.path(n.Log)}
		switch shown, known := cells[n.Name]; {
		case known:
			c.Ready = shown.Ready
			for _, r := range shown.Reasons {
				c.Why = string(r.Requirement) + ": " + r.Message
				break
			}
		case !c.Running:
			c.Why = "the process does not run"
		default:
			c.Why = "not registered yet"
		}
		a.Cells[i] = c
	}
	return a, d.console(a)
}

func roleOf(st *api.NodeState) string {
	if st.Role == "leader" {
		return "leader"
	}
	return "follower"
}

// cells asks a scheduler that answers, without needing a leader.
func (d *dev) cells(ctx context.Context, schedulers []devScheduler) map[string]api.Cell {
	var up []string
	for _, s := range schedulers {
		if s.Role == "leader" {
			up = append([]string{s.URL}, up...)
		} else if s.Role != "down" {
			up = append(up, s.URL)
		}
	}
	out := map[string]api.Cell{}
	if len(up) == 0 {
		return out
	}
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	c, err := d.client(up...)
	if err != nil {
		return out
	}
	list, err := c.ListCells(ctx, "", api.ReadOptions{Consistency: api.Stale})
	if err = errors.Join(err, c.Close()); err != nil {
		return out
	}
	for _, cell := range list.Cells {
		out[string(cell.CellID)] = cell
	}
	return out
}

// loginTime is how long a printed console link can be used.
const loginTime = 15 * time.Minute

// console mints a one-time login link to a scheduler that runs.
func (d *dev) console(a *devAnswer) error {
	m, err := pki.LoadMaterial(d.path(materialDir))
	if err != nil {
		return err
	}
	token, err := m.MintLogin("dev", api.RoleViewer, loginTime)
	if err != nil {
		return err
	}
	at := ""
	for _, s := range a.Schedulers {
		if s.Role == "leader" || at == "" && s.Role != "down" {
			at = s.URL
		}
	}
	if at == "" {
		at = a.Schedulers[0].URL
	}
	a.Console = at + "/admin/login?token=" + token
	return nil
}

// show prints the status; took is how long dev up needed, or nil.
func (d *dev) show(ctx context.Context, u *ui.UI, took *devTimes) error {
	a, err := d.status(ctx)
	if err != nil {
		return err
	}
	a.devTimes = took
	return u.Print(a, func(p *ui.Page) {
		t := ui.Table{Header: []string{"NODE", "KIND", "STATE", "PID", "WHERE"}}
		for _, s := range a.Schedulers {
			p.Name(s.Name)
			t.Row(ui.ID(s.Name), ui.T("scheduler"), ui.T(s.Role), ui.T(fmt.Sprint(s.PID)), ui.T(s.URL))
		}
		for _, c := range a.Cells {
			p.Name(c.Name)
			t.Row(ui.ID(c.Name), ui.T("cell"), ui.T(c.state()), ui.T(fmt.Sprint(c.PID)), ui.T(c.Why))
		}
		p.Table(t)
		if !p.Terminal && took == nil {
			return
		}
		p.Gap()
		if took != nil {
			p.Text("up after " + (time.Duration(took.UpMs) * time.Millisecond).Round(10*time.Millisecond).String())
		}
		if lack := a.quorum(); lack != "" {
			p.Text(lack)
		}
		p.Text("console  " + a.Console)
		p.Text("logs     " + strings.TrimSuffix(d.path("logs"), "/"))
		p.Text("try      grafos provider status local   grafos lease request --provider local --mem 64M   grafos dev kill " + leaderName(a))
		p.Text("stop     grafos dev down")
	})
}

// state is a cell's state for a person. The schedulers notice after the heartbeat limit that
// a process ended; the kernel knows at once.
func (c devCell) state() string {
	switch {
	case !c.Running:
		return "down"
	case c.Ready:
		return "ready"
	}
	return "not ready"
}

// quorum says, where nobody leads, what is missing for it.
func (a *devAnswer) quorum() string {
	up := 0
	for _, s := range a.Schedulers {
		if s.Role == "leader" {
			return ""
		}
		if s.Role != "down" {
			up++
		}
	}
	need := len(a.Schedulers)/2 + 1
	if up >= need {
		return "no leader yet: an election goes on"
	}
	return fmt.Sprintf("no leader: %d of %s up, and it takes %d; start the others: grafos dev up", up, ui.Count(len(a.Schedulers), "scheduler"), need)
}

func leaderName(a *devAnswer) string {
	for _, s := range a.Schedulers {
		if s.Role == "leader" {
			return s.Name
		}
	}
	return a.Schedulers[0].Name
}
