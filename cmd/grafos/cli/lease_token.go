package cli

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/capbroker/holder"
	"github.com/grafos/grafos/cmd/grafos/internal/ui"
)

type leaseTokenOptions struct {
	narrow   bool
	token    fileName
	holder   fileName
	ops      []string
	offset   ui.Size
	length   ui.Size
	maxBytes ui.Size
	ttl      time.Duration
	whose    fileName
	given    func(flag string) bool
	now      func() time.Time
}

func (a *app) leaseToken() *cobra.Command {
	o := leaseTokenOptions{holder: self}
	cmd := &cobra.Command{
		Use:   "token LEASE",
		Short: "A fresh capability token; it lives at most 300 s, and no longer than its lease",
		Long: `Get a fresh capability token. It lives at most 300 s, and no longer than its lease.

With --narrow the holder of a lease that names a key takes rights away from a token, for
somebody else: what is left is what the token allows and what is said here. With --lease-token
nobody is asked for that.`,
		Example: "  (umask 077; grafos lease token LEASE > token) && grafos lease read LEASE --lease-token token\n" +
			"  grafos lease token LEASE --narrow --lease-token token --ops read --length 4K --for friend.pem",
		Args: exactly("LEASE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.given = cmd.Flags().Changed
			if err := o.check(); err != nil {
				return err
			}
			if o.narrow && o.token != "" && o.holder != self {
				return o.offline(ui.From(cmd.Context()), api.LeaseID(args[0]))
			}
			return a.online(o.run)(cmd, args)
		},
	}
	fs := cmd.Flags()
	fs.BoolVar(&o.narrow, "narrow", false, "take rights away from a token; needs the holder's key")
	fs.Var(&o.token, "lease-token", "`file` with the token to narrow (default: a fresh one)")
	fs.Var(&o.holder, "holder-key", "`file` with the holder's key, self: that of the caller's certificate")
	fs.StringSliceVar(&o.ops, "ops", nil, "what is left to be done: `read`, write")
	fs.Var(&o.offset, "offset", "where the bytes begin that are left")
	fs.Var(&o.length, "length", "how many are left (default: to the end)")
	fs.Var(&o.maxBytes, "max-bytes", "the most bytes of one operation")
	fs.DurationVar(&o.ttl, "ttl", 0, "for how long from now, at most what the token has")
	fs.Var(&o.whose, "for", "`file` with the key of whom it is for (default: the holder)")
	return cmd
}

// limits are the flags that take something away, each of which makes no sense as nothing.
func (o *leaseTokenOptions) limits() map[string]bool {
	return map[string]bool{
		"ops": len(o.ops) > 0, "offset": o.offset.N > 0 || o.given("length"), "length": o.length.N > 0, "max-bytes": o.maxBytes.N > 0, "ttl": o.ttl > 0, "for": true,
	}
}

// check refuses flags that would take nothing away: a variable that was not set must not hand out all rights.
func (o *leaseTokenOptions) check() error {
	limits := o.limits()
	var some bool
	for _, name := range slices.Sorted(maps.Keys(limits)) {
		switch given := o.given(name); {
		case given && !o.narrow:
			return api.Refuse(api.InvalidArgument, "--%s takes rights away from a token, which is what --narrow is for", name)
		case given && !limits[name]:
			return api.Refuse(api.InvalidArgument, "--%s is nothing: it would take nothing away", name)
		case given:
			some = true
		}
	}
	for _, op := range o.ops {
		if op != "read" && op != "write" {
			return api.Refuse(api.InvalidArgument, "--ops %.20q: read and write are known", op)
		}
	}
	for _, name := range []string{"holder-key", "lease-token"} {
		if o.given(name) && !o.narrow {
			return api.Refuse(api.InvalidArgument, "--%s is of a token that is narrowed: give --narrow too", name)
		}
	}
	if o.narrow && !some {
		return api.Refuse(api.InvalidArgument, "--narrow is to take nothing away: say what is left").WithHint("--ops, --offset, --length, --max-bytes, --ttl, --for")
	}
	return nil
}

func (o *leaseTokenOptions) run(ctx context.Context, s *session, args []string) error {
	if !o.narrow {
		return s.leaseID(ctx, args[0], func(id api.LeaseID) error {
			answer, err := s.LeaseToken(ctx, id, api.WriteOptions{})
			if err != nil {
				return err
			}
			return o.print(s.UI, answer)
		})
	}
	key, err := s.holderKey(string(o.holder), "")
	if err != nil {
		return err
	}
	if o.token != "" {
		return o.narrowed(s.UI, api.LeaseID(args[0]), key)
	}
	return s.leaseID(ctx, args[0], func(id api.LeaseID) error {
		answer, err := s.LeaseToken(ctx, id, api.WriteOptions{})
		if err == nil {
			_, answer.Lease.Token, err = o.link(s.UI, id, key, answer.Lease.Token)
		}
		if err != nil {
			return err
		}
		return o.print(s.UI, answer)
	})
}

// offline narrows a token of a file with a key of a file.
func (o *leaseTokenOptions) offline(u *ui.UI, lease api.LeaseID) error {
	text, err := ui.ReadBounded(string(o.holder), maxKeyFile)
	if err != nil {
		return err
	}
	key, err := holder.ParseKey(text)
	if err != nil {
		return ui.Usage(fmt.Errorf("%s: %w", o.holder, err))
	}
	return o.narrowed(u, lease, key)
}

// narrowed prints a narrowed token of a file.
func (o *leaseTokenOptions) narrowed(u *ui.UI, lease api.LeaseID, key *holder.Key) error {
	text, err := ui.ReadBounded(string(o.token), maxLeaseTokenIn)
	if err != nil {
		return err
	}
	var answer api.LeaseAnswer
	if answer.Lease.ID, answer.Lease.Token, err = o.link(u, lease, key, string(bytes.TrimSpace(text))); err != nil {
		return err
	}
	return o.print(u, &answer)
}

// checkHolder refuses a token that is not of the lease, or that the key may not narrow: its cell would refuse
// what comes of it, and whoever it was handed to would be told why.
func (o *leaseTokenOptions) checkHolder(lease api.LeaseID, key *holder.Key, token string) (api.LeaseID, error) {
	n, err := holder.ReadNamed(token)
	switch {
	case err != nil:
		return "", err
	case lease == "" || !strings.HasPrefix(string(n.Lease), string(lease)):
		return "", api.Refuse(api.InvalidArgument, "the token is of lease %s, not of %s", n.Lease, lease)
	case n.Holder == holder.Thumbprint{}:
		return "", api.Refuse(api.InvalidArgument, "the token of lease %s names no holder: nobody can narrow it", n.Lease).
			WithHint("ask for the lease with --holder-key")
	case !o.narrows(n):
		return "", api.Refuse(api.InvalidArgument, "nothing is taken away: the token is for %d bytes of lease %s, until %s", n.Amount, n.Lease, n.ExpiresAt.UTC().Format(time.RFC3339))
	case o.offset.N >= n.Amount:
		return "", api.Refuse(api.InvalidArgument, "--offset %d is at or behind the end of lease %s, which has %d bytes", o.offset.N, n.Lease, n.Amount)
	}
	_, last, err := holder.Links(token, n.Holder)
	if err != nil {
		return "", err
	}
	if last != key.Thumbprint() {
		return "", api.Refuse(api.InvalidArgument, "the token of lease %s is for the key %s, and --holder-key has %s", n.Lease, last, key.Thumbprint())
	}
	return n.Lease, nil
}

// narrows reports whether anything is less than what the token says.
func (o *leaseTokenOptions) narrows(n holder.Named) bool {
	ops := !slices.Contains(o.ops, "read") || !slices.Contains(o.ops, "write")
	return len(o.ops) > 0 && ops || o.offset.N > 0 || o.length.N > 0 && o.length.N < n.Amount ||
		o.maxBytes.N > 0 && o.maxBytes.N < n.Amount || o.ttl > 0 && o.now().Add(o.ttl).Before(n.ExpiresAt) || o.whose != ""
}

// link narrows a token as the flags say, and returns its lease too.
func (o *leaseTokenOptions) link(u *ui.UI, lease api.LeaseID, key *holder.Key, token string) (api.LeaseID, string, error) {
	o.now = u.Now
	lease, err := o.checkHolder(lease, key, token)
	if err != nil {
		return "", "", err
	}
	l := holder.Link{Caveats: holder.Caveats{Ops: o.ops, Offset: o.offset.N, Length: o.length.N, MaxBytes: o.maxBytes.N}}
	if o.ttl > 0 {
		l.ExpiresAt = u.Now().Add(o.ttl)
	}
	if o.whose != "" {
		text, err := ui.ReadBounded(string(o.whose), maxKeyFile)
		if err != nil {
			return "", "", err
		}
		if l.Holder, err = holder.ParsePublic(text); err != nil {
			return "", "", ui.Usage(fmt.Errorf("%s: %w", o.whose, err))
		}
	}
	narrowed, err := key.Narrow(token, l)
	return lease, narrowed, err
}

func (*leaseTokenOptions) print(u *ui.UI, answer *api.LeaseAnswer) error {
	return u.Print(answer, func(p *ui.Page) {
		p.Name(string(answer.Lease.ID))
		p.Text(answer.Lease.Token)
	})
}
