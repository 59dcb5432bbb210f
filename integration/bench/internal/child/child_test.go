package child

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/grafos/grafos/integration/bench/internal/load"
)

// asChild makes the test's own program a child.
const asChild = "GRAFOS_BENCH_TEST_CHILD"

func TestMain(m *testing.M) {
	if os.Getenv(asChild) == "" {
		os.Exit(m.Run())
	}
	hold := make(chan struct{})
	err := Serve(context.Background(), os.Stdin, os.Stdout, func(_ context.Context, r Request) (Answer, error) {
		switch r.Do {
		case "hold": // answered when the next "go" comes
			<-hold
			return Answer{Done: 1}, nil
		case "go":
			close(hold)
			return Answer{Done: 2}, nil
		}
		return Answer{}, fmt.Errorf("what is %q", r.Do)
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func start(t *testing.T) *Process {
	t.Helper()
	t.Setenv(asChild, "1")
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p, err := Start(self, filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return p
}

// TestAnswers find their request, whatever their order, and a problem is the error.
func TestAnswers(t *testing.T) {
	p := start(t)
	var wg sync.WaitGroup
	wg.Go(func() {
		if a, err := p.Ask(t.Context(), Request{Do: "hold"}); err != nil || a.Done != 1 {
			t.Errorf("hold answered %+v: %v", a, err)
		}
	})
	if _, err := p.Ask(t.Context(), Request{Do: "dance"}); err == nil || !strings.Contains(err.Error(), `what is "dance"`) {
		t.Errorf("got %v", err)
	}
	short, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, err := p.Ask(short, Request{Do: "hold"}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	if a, err := p.Ask(t.Context(), Request{Do: "go"}); err != nil || a.Done != 2 {
		t.Errorf("go answered %+v: %v", a, err)
	}
	wg.Wait()
}

// TestKilled: whoever waits for a child that was killed is told, and so is who asks later.
func TestKilled(t *testing.T) {
	p := start(t)
	var wg sync.WaitGroup
	wg.Go(func() {
		if _, err := p.Ask(t.Context(), Request{Do: "hold"}); err == nil {
			t.Error("a killed child answered")
		}
	})
	if _, err := p.Ask(t.Context(), Request{Do: "x"}); err == nil { // it is up
		t.Error("got no problem")
	}
	if err := p.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if err := p.Gone(t.Context()); err != nil {
		t.Fatal(err)
	}
	wg.Wait()
	if _, err := p.Ask(t.Context(), Request{Do: "go"}); err == nil {
		t.Error("a dead child answered")
	}
}

// TestClose wakes and ends a child that stands still.
func TestClose(t *testing.T) {
	p := start(t)
	if err := p.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	if err := p.Close(); err != nil {
		t.Error(err)
	}
}

// TestRun: a load's figures come through the pipe as they were, to the microsecond.
func TestRun(t *testing.T) {
	was := load.Run{Took: []time.Duration{1500 * time.Microsecond, 2 * time.Second}, Window: time.Second, Done: 3, Failed: 1, First: errors.New("no")}
	is := Of(was).Run()
	if len(is.Took) != 2 || is.Took[0] != was.Took[0] || is.Took[1] != was.Took[1] || is.Window != was.Window ||
		is.Done != 3 || is.Failed != 1 || is.First.Error() != "no" {
		t.Errorf("got %+v", is)
	}
}

// TestBadRequest ends the child with what was wrong.
func TestBadRequest(t *testing.T) {
	err := Serve(t.Context(), strings.NewReader("{\"do\":\n}"), new(bytes.Buffer), nil)
	if err == nil || !strings.Contains(err.Error(), "read requests") {
		t.Errorf("got %v", err)
	}
}
