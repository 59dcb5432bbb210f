package cellagent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/grafos/grafos/api"
)

// moduleOf returns a module of 100 bytes and what fetches it.
func moduleOf(name string) (api.Digest, func(context.Context, io.Writer) error) {
	data := make([]byte, 100)
	copy(data, name)
	a := newArtifact(name, data)
	return a.Digest, func(_ context.Context, w io.Writer) error {
		_, err := w.Write(data)
		return err
	}
}

func TestModulesAreFetchedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, err := openModules(t.TempDir(), 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		d, fetch := moduleOf("a")
		var fetches atomic.Int64
		slow := func(ctx context.Context, w io.Writer) error {
			fetches.Add(1)
			time.Sleep(time.Second)
			return fetch(ctx, w)
		}
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() {
				path, release, err := m.get(t.Context(), d, slow)
				if err != nil {
					t.Error(err)
					return
				}
				defer release()
				if info, err := os.Stat(path); err != nil || info.Size() != 100 {
					t.Errorf("module file: %v, %v", info, err)
				}
			})
		}
		wg.Wait()
		if n := fetches.Load(); n != 1 {
			t.Fatalf("fetched %d times", n)
		}
	})
}

func TestFetchThatFailsIsTakenOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, err := openModules(t.TempDir(), 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		d, fetch := moduleOf("a")
		first, cancel := context.WithCancelCause(t.Context())
		stopped := errors.New("stopped")
		go func() {
			_, _, err := m.get(first, d, func(ctx context.Context, _ io.Writer) error {
				<-ctx.Done()
				return context.Cause(ctx)
			})
			if !errors.Is(err, stopped) {
				t.Errorf("the first got %v", err)
			}
		}()
		synctest.Wait()
		done := make(chan struct{})
		go func() {
			defer close(done)
			_, release, err := m.get(t.Context(), d, fetch)
			if err != nil {
				t.Errorf("the second got %v", err)
				return
			}
			release()
		}()
		synctest.Wait()
		cancel(stopped)
		<-done
		if left, err := filepath.Glob(filepath.Join(m.dir, "fetch-*")); err != nil || len(left) != 0 {
			t.Errorf("left behind: %v, %v", left, err)
		}
	})
}

func TestModulesAreBounded(t *testing.T) {
	dir := t.TempDir()
	m, err := openModules(dir, 250)
	if err != nil {
		t.Fatal(err)
	}
	get := func(m *modules, name string) func() {
		d, fetch := moduleOf(name)
		_, release, err := m.get(t.Context(), d, fetch)
		if err != nil {
			t.Fatal(err)
		}
		return release
	}
	there := func(m *modules, name string) bool {
		d, _ := moduleOf(name)
		_, err := os.Stat(m.path(d))
		return err == nil
	}
	pinned := get(m, "a")
	get(m, "b")()
	get(m, "c")() // b goes: a is in use
	if !there(m, "a") || there(m, "b") || !there(m, "c") {
		t.Fatalf("a %t, b %t, c %t: want a and c", there(m, "a"), there(m, "b"), there(m, "c"))
	}
	pinned()
	get(m, "c")()
	get(m, "d")() // a is the least recently used now
	if there(m, "a") || !there(m, "c") || !there(m, "d") {
		t.Fatalf("a %t, c %t, d %t: want c and d", there(m, "a"), there(m, "c"), there(m, "d"))
	}
	m, err = openModules(dir, 150) // the next agent may keep less
	if err != nil {
		t.Fatal(err)
	}
	if n := fmt.Sprint(there(m, "c"), there(m, "d")); n != "true false" && n != "false true" {
		t.Fatalf("of what an earlier agent left: %s, want one", n)
	}
}

func TestModuleOfAnEarlierAgentIsChecked(t *testing.T) {
	dir := t.TempDir()
	d, fetch := moduleOf("a")
	m, err := openModules(dir, 1000)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(m.path(d), []byte("something else"), 0o600); err != nil {
		t.Fatal(err)
	}
	if m, err = openModules(dir, 1000); err != nil {
		t.Fatal(err)
	}
	path, release, err := m.get(t.Context(), d, fetch)
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	if info, err := os.Stat(path); err != nil || info.Size() != 100 || m.bytes != 100 {
		t.Fatalf("a bad file was taken: %v, %v, %d bytes counted", info, err, m.bytes)
	}
	if _, _, err := m.get(t.Context(), "sha256:../../etc/passwd", fetch); api.KindOf(err) != api.InvalidArgument {
		t.Fatalf("a digest that is a path: %v", err)
	}
}
