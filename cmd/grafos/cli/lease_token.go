package cli

import (
	"bytes"
	"context"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/capbroker/holder"
	"github.com/grafos/grafos/cmd/grafos/internal/ui"
)

type leaseTokenOptions struct {
	narrow   bool
	token    string
	holder   string
	ops      []string
	offset   ui.Size
	length   ui.Size
	maxBytes ui.Size
	ttl      time.Duration
	whose    string
}

func (a *app) leaseToken() *cobra.Command {
	var o leaseTokenOptions
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
			if o.narrow && o.token != "" && o.holder != self {
				return o.offline(ui.From(cmd.Context()), api.LeaseID(args[0]))
			}
			return a.online(o.run)(cmd, args)
		},
	}
	fs := cmd.Flags()
	fs.BoolVar(&o.narrow, "narrow", false, "take rights away from a token; needs the holder's key")
	fs.StringVar(&o.token, "lease-token", "", "`file` with the token to narrow (default: a fresh one)")
	fs.StringVar(&o.holder, "holder-key", self, "`file` with the holder's key, self: that of the caller's certificate")
	fs.StringSliceVar(&o.ops, "ops", nil, "what is left to be done: `read`, write")
	fs.Var(&o.offset, "offset", "where the bytes begin that are left")
	fs.Var(&o.length, "length", "how many are left (default: to the end)")
	fs.Var(&o.maxBytes, "max-bytes", "the most bytes of one operation")
	fs.DurationVar(&o.ttl, "ttl", 0, "for how long from now, at most what the token has")
	fs.StringVar(&o.whose, "for", "", "`file` with the key of whom it is for (default: the holder)")
	return cmd
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
	key, err := s.holderKey(o.holder, "")
	if err != nil {
		return err
	}
	if o.token != "" {
		return o.narrowed(s.UI, api.LeaseID(args[0]), key)
	}
	return s.leaseID(ctx, args[0], func(id api.LeaseID) error {
		answer, err := s.LeaseToken(ctx, id, api.WriteOptions{})
		if err == nil {
			answer.Lease.Token, err = o.link(s.UI, key, answer.Lease.Token)
		}
		if err != nil {
			return err
		}
		return o.print(s.UI, answer)
	})
}

// offline narrows a token of a file with a key of a file.
func (o *leaseTokenOptions) offline(u *ui.UI, lease api.LeaseID) error {
	text, err := ui.ReadBounded(o.holder, maxKeyFile)
	if err != nil {
		return err
	}
	key, err := holder.ParseKey(text)
	if err != nil {
		return err
	}
	return o.narrowed(u, lease, key)
}

// narrowed prints a narrowed token of a file.
func (o *leaseTokenOptions) narrowed(u *ui.UI, lease api.LeaseID, key *holder.Key) error {
	text, err := ui.ReadBounded(o.token, maxLeaseTokenIn)
	if err != nil {
		return err
	}
	var answer api.LeaseAnswer
	answer.Lease.ID = lease
	if answer.Lease.Token, err = o.link(u, key, string(bytes.TrimSpace(text))); err != nil {
		return err
	}
	return o.print(u, &answer)
}

// link narrows a token as the flags say.
func (o *leaseTokenOptions) link(u *ui.UI, key *holder.Key, token string) (string, error) {
	if strings.Count(token, ".") < 3 {
		return "", api.Refuse(api.InvalidArgument, "that is no capability token: grafos lease token LEASE gets one")
	}
	l := holder.Link{Caveats: holder.Caveats{Ops: o.ops, Offset: o.offset.N, Length: o.length.N, MaxBytes: o.maxBytes.N}}
	if o.ttl < 0 {
		return "", api.Refuse(api.InvalidArgument, "--ttl %s is not a time to live", o.ttl)
	}
	if o.ttl > 0 {
		l.ExpiresAt = u.Now().Add(o.ttl)
	}
	if o.whose != "" {
		text, err := ui.ReadBounded(o.whose, maxKeyFile)
		if err != nil {
			return "", err
		}
		if l.Holder, err = holder.ParsePublic(text); err != nil {
			return "", err
		}
	}
	return key.Narrow(token, l)
}

func (*leaseTokenOptions) print(u *ui.UI, answer *api.LeaseAnswer) error {
	return u.Print(answer, func(p *ui.Page) {
		p.Name(string(answer.Lease.ID))
		p.Text(answer.Lease.Token)
	})
}
