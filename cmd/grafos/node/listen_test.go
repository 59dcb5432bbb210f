package node

import (
	"errors"
	"net"
	"os"
	"strings"
	"syscall"
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
	_, inUse := (&net.ListenConfig{}).Listen(t.Context(), "tcp", taken.Addr().String())
	refused := func(err error) error { return &net.OpError{Op: "listen", Net: "tcp", Err: err} }
	for _, tt := range []struct {
		err   error
		words string
		kind  api.Kind
	}{
		{inUse, "another process listens", api.Conflict},
		{refused(os.NewSyscallError("bind", syscall.EADDRNOTAVAIL)), "no such address", api.InvalidArgument},
		{refused(os.NewSyscallError("bind", syscall.EACCES)), "may not listen", api.InvalidArgument},
		{refused(&net.DNSError{Err: "no such host", Name: "s1", IsNotFound: true}), "not found", api.InvalidArgument},
	} {
		p := api.Problem(listens("raft-bind", "s1:1", tt.err))
		if p.Kind != tt.kind || !strings.Contains(p.Detail, tt.words) || !strings.Contains(p.Detail, "--raft-bind") || p.Hint == "" {
			t.Errorf("%v: %v, hint %q", tt.err, p, p.Hint)
		}
	}
	for _, other := range []error{errors.New("the disk is full"), refused(&net.DNSError{Err: "server misbehaving", Name: "s1", IsTemporary: true})} {
		if got := listens("bind", "s1:1", other); !errors.Is(got, other) {
			t.Errorf("%v became %v", other, got)
		}
	}
	if _, err := openDebug(t.Context(), taken.Addr().String()); api.KindOf(err) != api.Conflict {
		t.Errorf("profiles where another process listens: %v", err)
	}
}
