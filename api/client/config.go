package client

import (
	"context"
	"crypto/tls"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/grafos/grafos/api"
)

// Config says whom a client talks to and as whom.
type Config struct {
	// URLs are the addresses of schedulers, "https://host:port"; at least one.
	URLs []string
	// TLS proves who the client is and which schedulers it trusts. It is cloned. Nil is the
	// system's trust and no certificate.
	TLS *tls.Config
	// Timeout bounds a call with all its repetitions; 0 is 30 s. A blocking read adds its
	// wait, a blob a second for every MiB. Streams are not bounded by it, but give up when
	// no scheduler could be reached for so long.
	Timeout time.Duration
	// Ping is how often a silent connection is probed, and how long a probe may take; 0 is
	// 2 s. A scheduler that is stopped or cut off is noticed within twice that.
	Ping time.Duration
	// Waiting is told what a call or a stream waits for when it has waited for some seconds, and
	// now and then after; nil is nobody. A stream of events then goes on, for as long as it takes,
	// when no scheduler leads.
	Waiting func(why error)
	// Log is told about fail-over. It is never nil.
	Log hclog.Logger
	// Token returns the bearer token of a call; nil is none.
	Token func() (string, error)
	// Dial makes the connections; nil is the system's way.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
	// UserAgent is what the client calls itself; "" is "grafos".
	UserAgent string
}

const (
	defaultTimeout   = 30 * time.Second
	defaultPing      = 2 * time.Second
	defaultUserAgent = "grafos"
)

// withDefaults returns c with what was left out filled in.
func (c Config) withDefaults() Config {
	if c.Timeout == 0 {
		c.Timeout = defaultTimeout
	}
	if c.Ping == 0 {
		c.Ping = defaultPing
	}
	if c.UserAgent == "" {
		c.UserAgent = defaultUserAgent
	}
	if c.Log == nil {
		c.Log = hclog.NewNullLogger()
	}
	return c
}

// check refuses a config that no call could work with.
func (c Config) check() ([]string, error) {
	if len(c.URLs) == 0 {
		return nil, api.Refuse(api.InvalidArgument, "no scheduler address is given").
			WithHint("give one with --fabric https://host:7490 or GRAFOS_FABRIC")
	}
	if c.Timeout < 0 || c.Ping < 0 {
		return nil, api.Refuse(api.InvalidArgument, "timeout %s and ping %s must not be negative", c.Timeout, c.Ping)
	}
	bases := make([]string, 0, len(c.URLs))
	for _, raw := range c.URLs {
		base, err := checkURL(raw, c.Token != nil)
		if err != nil {
			return nil, err
		}
		bases = append(bases, base)
	}
	return bases, nil
}

// CheckURL refuses an address that is no scheduler's: schedulers speak nothing but https.
func CheckURL(raw string) error {
	base, err := checkURL(raw, false)
	if err == nil && !strings.HasPrefix(base, "https:") {
		err = api.Refuse(api.InvalidArgument, "scheduler address %q is not https://host:port", raw)
	}
	return err
}

// checkURL returns the address without a trailing slash. Only https may carry a token.
func checkURL(raw string, token bool) (string, error) {
	u, err := url.Parse(strings.TrimSpace(raw))
	if err != nil {
		return "", api.Refuse(api.InvalidArgument, "scheduler address %q is not a URL: %v", raw, err)
	}
	if u.Scheme != "https" && u.Scheme != "http" || u.Hostname() == "" {
		return "", api.Refuse(api.InvalidArgument, "scheduler address %q is not https://host:port", raw)
	}
	if u.User != nil || u.RawQuery != "" || u.Fragment != "" || strings.Trim(u.Path, "/") != "" {
		return "", api.Refuse(api.InvalidArgument, "scheduler address %q has more than https://host:port", u.Redacted())
	}
	if token && u.Scheme != "https" {
		return "", api.Refuse(api.InvalidArgument, "scheduler address %q is not https, and a token is only sent over https", raw)
	}
	if n, err := strconv.ParseUint(u.Port(), 10, 16); u.Port() != "" && (err != nil || n == 0) {
		return "", api.Refuse(api.InvalidArgument, "scheduler address %q has port %s: it must be from 1 to 65535", raw, u.Port())
	}
	return u.Scheme + "://" + u.Host, nil
}
