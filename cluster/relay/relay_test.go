package relay

import (
	"context"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/grafos/grafos/api"
)

func wantKind(t *testing.T, err error, kind api.Kind) {
	t.Helper()
	if api.KindOf(err) != kind {
		t.Errorf("got %v, want %s", err, kind)
	}
}

// An operation is of one cell, is answered once, and what comes after its end is refused.
func TestOperation(t *testing.T) {
	table := New()
	o, err := table.Open("q", "c1", strings.NewReader("bytes"))
	if err != nil {
		t.Fatal(err)
	}
	_, err = table.Body("c2", "q")
	wantKind(t, err, api.NotFound)
	wantKind(t, table.Answer(t.Context(), "c2", "q", api.RelayAnswer{}), api.NotFound)
	body, err := table.Body("c1", "q")
	if err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(body); err != nil || string(got) != "bytes" {
		t.Errorf("%q, %v", got, err)
	}
	_, err = table.Body("c1", "q")
	wantKind(t, err, api.Conflict)

	answered := make(chan error, 1)
	go func() { answered <- table.Answer(t.Context(), "c1", "q", api.RelayAnswer{Nonce: "n"}) }()
	a, err := o.Wait(t.Context())
	if err != nil || a.Nonce != "n" {
		t.Fatal(a, err)
	}
	select {
	case err := <-answered:
		t.Fatalf("the cell was let go before its answer was read: %v", err)
	case <-time.After(10 * time.Millisecond):
	}
	o.Close()
	o.Close()
	if err := <-answered; err != nil {
		t.Error(err)
	}
	wantKind(t, table.Answer(t.Context(), "c1", "q", api.RelayAnswer{}), api.NotFound)
	if len(table.open)+len(table.per) != 0 {
		t.Error("something is left of it")
	}
}

func TestAnsweredTwice(t *testing.T) {
	table := New()
	if _, err := table.Open("q", "c1", nil); err != nil {
		t.Fatal(err)
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if err := table.Answer(gone, "c1", "q", api.RelayAnswer{}); err == nil {
		t.Error("nobody read it, and the cell was told that somebody did")
	}
	wantKind(t, table.Answer(t.Context(), "c1", "q", api.RelayAnswer{}), api.NotFound) // its cell went away
}

func TestNoAnswer(t *testing.T) {
	table := New()
	o, err := table.Open("q", "c1", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	late, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	_, err = o.Wait(late)
	wantKind(t, err, api.OutcomeUnknown)
	_, err = table.Body("c1", "q")
	wantKind(t, err, api.Conflict) // a read
}

// One cell that answers nobody takes no room from the others.
func TestBounds(t *testing.T) {
	table := New()
	open := func(cell api.CellID, n int) (err error) {
		for i := range n {
			if _, err = table.Open(string(cell)+string(rune('0'+i)), cell, nil); err != nil {
				return err
			}
		}
		return nil
	}
	wantKind(t, open("c1", perCell), "")
	wantKind(t, open("c1", 1), api.Overloaded)
	for i := range most/perCell - 1 {
		wantKind(t, open(api.CellID("d"+string(rune('0'+i))), perCell), "")
	}
	wantKind(t, open("e", 1), api.Overloaded)
}
