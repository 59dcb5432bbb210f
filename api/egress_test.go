package api

import (
	"net/netip"
	"strings"
	"testing"
)

func TestParseEgress(t *testing.T) {
	for in, want := range map[string]string{
		"api.example.com:443":              "api.example.com:443",
		"API.Example.com:443":              "api.example.com:443",
		"localhost:1":                      "localhost:1",
		"a_b.c-d.e1:65535":                 "a_b.c-d.e1:65535",
		"192.0.2.7:80":                     "192.0.2.7:80",
		"192.0.2.0/24:80":                  "192.0.2.0/24:80",
		"192.0.2.7/32:80":                  "192.0.2.7:80",
		"0.0.0.0/0:443":                    "0.0.0.0/0:443",
		"[2001:db8::1]:80":                 "[2001:db8::1]:80",
		"[2001:DB8::/32]:80":               "[2001:db8::/32]:80",
		"[::/0]:443":                       "[::/0]:443",
		"127.0.0.1:9000":                   "127.0.0.1:9000",
		"169.254.169.254:80":               "169.254.169.254:80",
		strings.Repeat("a.", 126) + "a:80": strings.Repeat("a.", 126) + "a:80",
	} {
		r, err := ParseEgress(in)
		if err != nil || r.String() != want {
			t.Errorf("%q is read as %q: %v", in, r, err)
		}
	}
	for _, in := range []string{
		"", ":", ":80", "a", "a:", "a:0", "a:65536", "a:-1", "a:+1", "a:080", "a:8 0", "a:http", "a:*", "*:80", "*.example.com:80", "a..b:80", ".a:80", "a.:80",
		"-a:80", "a-:80", "a b:80", "a\x00b:80", "a/b:80", "ä.example:80", "http://a:80", "a:80/x", "user@a:80",
		"127.1:80", "0x7f.1:80", "2130706433:80", "1.2.3:80", "1.2.3.4.5:80", "01.2.3.4:80", "256.1.1.1:80",
		"10.0.0.1/8:80", "10.0.0.0/33:80", "10.0.0.0/:80", "/8:80", "10.0.0.0/08:80", "0.0.0.0:80", "0.0.0.0/8:80", "224.0.0.1:80", "255.255.255.255:80", "[ff02::1]:80",
		"::1:80", "[::1:80", "::1]:80", "[::1]80", "[]:80", "[a]:80", "[127.0.0.1]:80", "[::ffff:127.0.0.1]:80", "[fe80::1%eth0]:80", "[fe80::%eth0/10]:80",
		strings.Repeat("a", 64) + ":80", strings.Repeat("a.", 127) + "a:80",
	} {
		if r, err := ParseEgress(in); KindOf(err) != InvalidArgument || !strings.Contains(Problem(err).Hint, "HOST:PORT") {
			t.Errorf("%q is read as %v: %v", in, r, err)
		}
	}
}

// TestEgressRules: which addresses a rule opens, and which of them it may not without saying so.
func TestEgressRules(t *testing.T) {
	for rule, tt := range map[string]struct {
		special   bool
		open, not string
	}{
		"93.184.216.34:80":      {false, "93.184.216.34:80 [::ffff:93.184.216.34]:80", "93.184.216.34:81 93.184.216.35:80"},
		"0.0.0.0/0:80":          {false, "1.1.1.1:80", "127.0.0.1:80 10.0.0.1:80 169.254.169.254:80 192.168.1.1:80 100.64.0.1:80 168.63.129.16:80 0.0.0.0:80 [::1]:80"},
		"[::/0]:80":             {false, "[2606:4700::1]:80", "[::1]:80 [fe80::1]:80 [fd00:ec2::254]:80 [64:ff9b::7f00:1]:80 [::7f00:1]:80 [::ffff:0:7f00:1]:80 [2002:7f00:1::]:80 127.0.0.1:80"},
		"127.0.0.1:80":          {true, "127.0.0.1:80", "127.0.0.2:80"},
		"127.0.0.0/8:80":        {true, "127.9.9.9:80", "128.0.0.1:80"},
		"126.0.0.0/7:80":        {false, "126.0.0.1:80", "127.0.0.1:80"},
		"10.0.0.0/8:80":         {true, "10.1.2.3:80", "11.0.0.1:80"},
		"[fd00:ec2::254]:80":    {true, "[fd00:ec2::254]:80", "[fd00:ec2::253]:80"},
		"metadata.internal:80":  {false, "", "169.254.169.254:80"},
		"[64:ff9b::7f00:1]:443": {true, "[64:ff9b::7f00:1]:443", "127.0.0.1:443"},
	} {
		r, err := ParseEgress(rule)
		if err != nil || r.Special() != tt.special {
			t.Errorf("%s: special %v, %v", rule, r.Special(), err)
		}
		for to := range strings.FieldsSeq(tt.open) {
			if !r.Allows(netip.MustParseAddrPort(to)) {
				t.Errorf("%s does not open %s", rule, to)
			}
		}
		for to := range strings.FieldsSeq(tt.not) {
			if r.Allows(netip.MustParseAddrPort(to)) {
				t.Errorf("%s opens %s", rule, to)
			}
		}
	}
}

func TestEgressListBounds(t *testing.T) {
	full := make([]string, MaxEgress)
	for i := range full {
		full[i] = "192.0.2.1:80"
	}
	if rules, err := ParseEgressList(full); err != nil || len(rules) != MaxEgress {
		t.Errorf("%d rules: %v", len(rules), err)
	}
	if _, err := ParseEgressList(append(full, "192.0.2.1:80")); KindOf(err) != InvalidArgument {
		t.Errorf("one more: %v", err)
	}
	long := make([]string, 17)
	for i := range long {
		long[i] = strings.Repeat("a.", 120) + "a:80"
	}
	if _, err := ParseEgressList(long); KindOf(err) != InvalidArgument {
		t.Errorf("long ones: %v", err)
	}
	if _, err := ParseEgressList([]string{"192.0.2.1:80", "x"}); KindOf(err) != InvalidArgument {
		t.Errorf("a bad one: %v", err)
	}
}

// FuzzEgress proves that what is taken for a rule is one: it is written as one that reads the same, has a
// port, and opens no address of a special range but as one of that range.
func FuzzEgress(f *testing.F) {
	for _, s := range []string{"a.example:80", "10.0.0.0/8:443", "[2001:db8::/32]:1", "[::1]:65535", "0.0.0.0/0:80"} {
		f.Add(s, []byte{127, 0, 0, 1})
	}
	f.Fuzz(func(t *testing.T, s string, at []byte) {
		r, err := ParseEgress(s)
		if err != nil {
			if KindOf(err) != InvalidArgument {
				t.Fatalf("%q: %v", s, err)
			}
			return
		}
		again, err := ParseEgress(r.String())
		if err != nil || again != r || r.Port == 0 || (r.Name == "") == !r.Prefix.IsValid() {
			t.Fatalf("%q is %+v, again %+v: %v", s, r, again, err)
		}
		addr, ok := netip.AddrFromSlice(at)
		if !ok || !r.Allows(netip.AddrPortFrom(addr, r.Port)) {
			return
		}
		if _, special := SpecialRange(addr); special && !r.Special() {
			t.Fatalf("%q opens %s", s, addr)
		}
	})
}
