package node

import (
	"errors"
	"net"
	"strings"
	"testing"

	"github.com/grafos/grafos/api"
)

// TestListens: an address that cannot be had is a mistake of whoever gave it, not a fault of grafOS.
func TestListens(t *testing.T) {
	taken, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }()
	for _, tt := range []struct {
		bind, words string
		kind        api.Kind
	}{
		{taken.Addr().String(), "another process listens", api.Conflict},
		{"192.0.2.1:0", "no such address", api.InvalidArgument},
		{"no-such-host.invalid:1", "not found", api.InvalidArgument},
	} {
		l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", tt.bind)
		if err == nil {
			_ = l.Close()
			t.Fatalf("%s can be listened on", tt.bind)
		}
		p := api.Problem(listens("raft-bind", tt.bind, err))
		if p.Kind != tt.kind || !strings.Contains(p.Detail, tt.words) || !strings.Contains(p.Detail, "--raft-bind") || p.Hint == "" {
			t.Errorf("%s: %v, hint %q", tt.bind, p, p.Hint)
		}
	}
	other := errors.New("the disk is full")
	if got := listens("bind", "127.0.0.1:1", other); !errors.Is(got, other) {
		t.Errorf("what is no listener's became %v", got)
	}
	if _, err := openDebug(t.Context(), taken.Addr().String()); api.KindOf(err) != api.Conflict {
		t.Errorf("profiles where another process listens: %v", err)
	}
}
