package fsm

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestHistories plays the histories under testdata: what is entered, and below it, after
// "|", everything that it caused. A line is a command and its JSON; "pass 5s" lets time go by;
// an empty line ends the entry. -rewrite writes the answers again; read them in review.
func TestHistories(t *testing.T) {
	files, err := filepath.Glob("testdata/histories/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no histories: %v", err)
	}
	for _, path := range files {
		t.Run(filepath.Base(path), func(t *testing.T) {
			b, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			h := history{rig: newRig(t), t: t}
			for line := range strings.Lines(string(b) + "\n") {
				h.line(strings.TrimRight(line, "\n"))
			}
			golden(t, filepath.Join("histories", filepath.Base(path)), strings.TrimRight(h.out.String(), "\n")+"\n")
		})
	}
}

type history struct {
	*rig
	t       *testing.T
	out     strings.Builder
	pending []Command
}

func (h *history) line(s string) {
	switch name, arg, _ := strings.Cut(s, " "); {
	case strings.HasPrefix(s, "|"):
		return
	case s == "":
		h.flush()
		h.out.WriteString("\n")
	case strings.HasPrefix(s, "#"):
		fmt.Fprintln(&h.out, s)
	case name == "pass":
		fmt.Fprintln(&h.out, s)
		d, err := time.ParseDuration(arg)
		if err != nil {
			h.t.Fatal(err)
		}
		h.pass(d)
	case name == "due":
		fmt.Fprintln(&h.out, s)
		h.pending = append(h.pending, AdvanceLeases{Leases: h.m.View().DueLeases(h.m.View().Now(), 100)})
	default:
		fmt.Fprintln(&h.out, s)
		h.pending = append(h.pending, h.parse(name, arg))
	}
}

func (h *history) parse(name, arg string) Command {
	for k := Kind(1); k <= lastKind; k++ {
		if kindName(k) != name {
			continue
		}
		c := k.make()
		dec := json.NewDecoder(strings.NewReader(arg))
		dec.DisallowUnknownFields()
		if err := dec.Decode(c); err != nil {
			h.t.Fatalf("%s %s: %v", name, arg, err)
		}
		return c
	}
	h.t.Fatalf("there is no command %q", name)
	return nil
}

// flush applies the pending entry and writes what it caused.
func (h *history) flush() {
	if len(h.pending) == 0 {
		return
	}
	res := h.do(h.pending...)
	h.pending = nil
	for i, r := range res {
		switch {
		case r.Problem != nil:
			fmt.Fprintf(&h.out, "| %d: %s: %s\n", i, r.Problem.Kind, r.Problem.Detail)
		case r.Replayed:
			fmt.Fprintf(&h.out, "| %d: replayed of %d %v\n", i, r.Index, r.Leases)
		case !r.Changed:
			fmt.Fprintf(&h.out, "| %d: nothing\n", i)
		}
		for _, p := range r.Refused {
			fmt.Fprintf(&h.out, "| %d: refused %s%s: %s: %s\n", i, p.LeaseID, p.RunID, p.Kind, p.Detail)
		}
	}
	for _, e := range h.m.state.events.events() {
		data := struct {
			State, Reason, Comment string
			Why                    []string
			Attempt                int
		}{}
		_ = json.Unmarshal(e.Data, &data)
		fmt.Fprintf(&h.out, "| %s %s", e.Type, strings.Join(strings.Fields(strings.Join([]string{
			string(e.Tenant), string(e.CellID), string(e.RunID), string(e.LeaseID), data.State, data.Reason,
		}, " ")), " "))
		if data.Attempt > 0 {
			fmt.Fprintf(&h.out, " attempt %d", data.Attempt)
		}
		if data.Comment != "" {
			fmt.Fprintf(&h.out, " (%s)", data.Comment)
		}
		for _, why := range data.Why {
			fmt.Fprintf(&h.out, " [%s]", why)
		}
		fmt.Fprintf(&h.out, " by %s\n", e.Identity)
	}
	for _, c := range h.m.View().Cells("") {
		if u := h.m.View().Used(c.ID); !u.IsZero() {
			fmt.Fprintf(&h.out, "| = %s %s: %d leases, cpu %d, mem %d\n", c.ID, h.m.View().CellState(c), h.m.View().LeaseCount(c.ID), u.CPU, u.Mem)
		}
	}
}
