package api

import (
	"net/netip"
	"strconv"
	"strings"
)

// MaxEgressBytes bounds the entries of an allow-list together; MaxEgress is how many there may be.
const MaxEgressBytes = 4 << 10

// maxHostName bounds a DNS name, maxLabel one of its labels.
const (
	maxHostName = 253
	maxDNSLabel = 63
)

// EgressRule is one line of an allow-list: where a tasklet may connect to, by TCP.
type EgressRule struct {
	// Name is a DNS name in lower case; "" is a rule by address.
	Name string
	// Prefix is the addresses of a rule by address: one, or all that begin like it.
	Prefix netip.Prefix
	Port   uint16
}

// String is the rule as it is written.
func (r EgressRule) String() string {
	host := r.Name
	if host == "" {
		host = r.Prefix.String()
		if r.Prefix.IsSingleIP() {
			host = r.Prefix.Addr().String()
		}
	}
	return joinPort(host, r.Port)
}

func joinPort(host string, port uint16) string {
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	return host + ":" + strconv.Itoa(int(port))
}

// Special reports whether the rule is about addresses that are no public ones: those it has to
// name itself, and that operators alone may name.
func (r EgressRule) Special() bool {
	if r.Name != "" {
		return false
	}
	special, ok := SpecialRange(r.Prefix.Addr())
	return ok && within(r.Prefix, special)
}

// Allows reports whether the rule lets somebody connect to an address. One of a special range is
// allowed by a rule that is about addresses of that range and no others: 0.0.0.0/0 opens no loopback.
func (r EgressRule) Allows(to netip.AddrPort) bool {
	addr := to.Addr().Unmap()
	if r.Name != "" || r.Port != to.Port() || addr.Zone() != "" || !r.Prefix.Contains(addr) {
		return false
	}
	special, ok := SpecialRange(addr)
	return !ok || within(r.Prefix, special)
}

// within reports whether all of inner is in outer.
func within(inner, outer netip.Prefix) bool {
	return inner.Bits() >= outer.Bits() && outer.Contains(inner.Addr())
}

// SpecialRange returns the range of addresses that are no public ones in which an address is:
// loopback, private, link-local (which most metadata services of clouds are), Azure's platform endpoint,
// shared, reserved, and those in which an IPv4 address of such a range can be hidden.
func SpecialRange(addr netip.Addr) (netip.Prefix, bool) {
	addr = addr.Unmap().WithZone("")
	for _, s := range []string{
		"0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24",
		"168.63.129.16/32", "192.0.2.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4",
		"::/96", "::ffff:0:0:0/96", "64:ff9b::/96", "64:ff9b:1::/48", "100::/64", "2001::/23", "2001:db8::/32", "2002::/16", "fc00::/7", "fe80::/10",
		"fec0::/10", "ff00::/8",
	} {
		if p := netip.MustParsePrefix(s); p.Contains(addr) {
			return p, true
		}
	}
	return netip.Prefix{}, false
}

// ParseEgress reads a rule: HOST:PORT, ADDRESS:PORT or CIDR:PORT; of IPv6 the part before the port
// stands in brackets.
func ParseEgress(s string) (EgressRule, error) {
	host, port, err := SplitEgress(s)
	if err != nil {
		return EgressRule{}, err
	}
	r := EgressRule{Port: port}
	if addr, err := netip.ParseAddr(host); err == nil {
		if addr.Zone() != "" {
			return EgressRule{}, badEgress(s, "an address with a zone is of one host's own network")
		}
		r.Prefix = netip.PrefixFrom(addr, addr.BitLen())
	} else if strings.Contains(host, "/") {
		if r.Prefix, err = netip.ParsePrefix(host); err != nil {
			return EgressRule{}, badEgress(s, "%.60q is no range of addresses, as 93.184.216.0/24 is one", host)
		}
	} else {
		if r.Name, err = HostName(host); err != nil {
			return EgressRule{}, badEgress(s, "%v", err)
		}
		return r, nil
	}
	return r, checkPrefix(s, r.Prefix)
}

// checkPrefix refuses ranges that are written in a way that may mean another one, and those that
// nobody can connect to.
func checkPrefix(s string, p netip.Prefix) error {
	switch {
	case p.Addr().Is4In6():
		return badEgress(s, "an IPv4 address is written as one: %s", p.Addr().Unmap())
	case p.Masked() != p:
		return badEgress(s, "%s has bits beyond its length: %s is the range that it is in", p, p.Masked())
	}
	if special, ok := SpecialRange(p.Addr()); ok && within(p, special) && unreachable(special) {
		return badEgress(s, "nobody can connect to an address of %s", special)
	}
	return nil
}

// unreachable reports whether a special range has no address that a connection can be made to:
// this host, multicast, reserved.
func unreachable(special netip.Prefix) bool {
	switch special.String() {
	case "0.0.0.0/8", "224.0.0.0/4", "240.0.0.0/4", "ff00::/8":
		return true
	}
	return false
}

// SplitEgress parts HOST:PORT, of which it looks at the port only.
func SplitEgress(s string) (host string, port uint16, err error) {
	if len(s) > maxHostName+len(":65535")+len("[]") {
		return "", 0, badEgress(s, "it is longer than %d bytes", maxHostName)
	}
	i := strings.LastIndexByte(s, ':')
	if i < 0 {
		return "", 0, badEgress(s, "it has no port")
	}
	host = s[:i]
	if inner, ok := strings.CutPrefix(host, "["); ok {
		if inner, ok = strings.CutSuffix(inner, "]"); !ok || !strings.Contains(inner, ":") {
			return "", 0, badEgress(s, "only IPv6 stands in brackets, both of them")
		}
		host = inner
	} else if strings.Contains(host, ":") {
		return "", 0, badEgress(s, "an IPv6 address stands in brackets")
	}
	n, err := strconv.ParseUint(s[i+1:], 10, 16)
	if err != nil || n == 0 || s[i+1] < '0' || s[i+1] > '9' || s[i+1] == '0' {
		return "", 0, badEgress(s, "its port is not a number from 1 to 65535")
	}
	return host, uint16(n), nil
}

// HostName returns a DNS name in lower case, or refuses what is none. What a resolver could take for
// an address in another notation, as 0x7f.1, is none.
func HostName(s string) (string, error) {
	name := strings.ToLower(s)
	if name == "" || len(name) > maxHostName {
		return "", Refuse(InvalidArgument, "a host has from 1 to %d bytes", maxHostName)
	}
	last := ""
	for label := range strings.SplitSeq(name, ".") {
		if !dnsLabel(label) {
			return "", Refuse(InvalidArgument, "%.60q is no host name", s)
		}
		last = label
	}
	if last[0] >= '0' && last[0] <= '9' {
		return "", Refuse(InvalidArgument, "%.60q is neither an address nor a host name", s)
	}
	return name, nil
}

func dnsLabel(s string) bool {
	if s == "" || len(s) > maxDNSLabel || s[0] == '-' || s[len(s)-1] == '-' {
		return false
	}
	return strings.IndexFunc(s, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '-' && r != '_'
	}) < 0
}

func badEgress(s, format string, args ...any) error {
	return Refuse(InvalidArgument, "allow-list entry %q: "+format, append([]any{clip(s, 80)}, args...)...).
		WithHint("an entry is HOST:PORT, ADDRESS:PORT or CIDR:PORT, as api.example.com:443, 93.184.216.34:80, 93.184.216.0/24:443, [2606:2800:220::/48]:443")
}

// ParseEgressList reads an allow-list.
func ParseEgressList(list []string) ([]EgressRule, error) {
	if len(list) > MaxEgress {
		return nil, Refuse(InvalidArgument, "the allow-list has %d entries: at most %d", len(list), MaxEgress)
	}
	rules, size := make([]EgressRule, 0, len(list)), 0
	for _, s := range list {
		r, err := ParseEgress(s)
		if err != nil {
			return nil, err
		}
		rules, size = append(rules, r), size+len(s)
	}
	if size > MaxEgressBytes {
		return nil, Refuse(InvalidArgument, "the allow-list has %d bytes: at most %d", size, MaxEgressBytes)
	}
	return rules, nil
}

// NetUsage is what went through a net lease.
type NetUsage struct {
	BytesOut int64 `json:"bytes_out"`
	BytesIn  int64 `json:"bytes_in"`
	Flows    int64 `json:"flows"`  // connections that were made
	Denied   int64 `json:"denied"` // what the allow-list refused
}
