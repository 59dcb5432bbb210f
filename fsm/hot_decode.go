package fsm

import (
	"math"
	"strings"
	"unicode/utf8"
	"unsafe"

	"github.com/grafos/grafos/api"
)

// hotReader reads what appendHot wrote. It takes deterministic CBOR with the fields in their
// order and nothing else: whatever it does not take is read again by the codec, which knows all
// that is allowed and says what is wrong with the rest. So the two can never disagree about
// what is taken.
type hotReader struct {
	s     string // what is read: texts are cut out of it
	at    int
	left  uint64 // fields of the map that is read, not read yet
	bad   bool
	lent  bool // what is read stays as it is: no copy is made of it
	names *names
	pools *pools
}

// share returns b as a text.
func (r *hotReader) share(b []byte) string {
	if r.lent {
		return asText(b)
	}
	return string(b)
}

// asText is b as a text without a copy: nobody may change b while the text is in use.
func asText(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// names holds texts that come again and again (tenants, cells, boot ids), and may be kept for long:
// each is a text of its own. Each has one place that it can be in; what comes later takes it. A
// nil one holds none.
type names struct {
	held [1 << 12]string
}

// maxName bounds the texts that are held.
const maxName = 64

func newNames() *names { return new(names) }

func (n *names) text(s string) string {
	if n == nil || len(s) < 2 || len(s) > maxName {
		return strings.Clone(s)
	}
	var first, last uint64
	if len(s) >= 8 {
		first, last = word(s), word(s[len(s)-8:])
	} else {
		first, last = uint64(s[0])<<8|uint64(s[1]), uint64(s[len(s)-2])<<8|uint64(s[len(s)-1])
	}
	place := &n.held[(first*0x9e3779b97f4a7c15^last*0xbf58476d1ce4e5b9+uint64(len(s)))>>52]
	if *place != s {
		*place = strings.Clone(s)
	}
	return *place
}

// word returns the first eight bytes of s as a number.
func word(s string) uint64 {
	_ = s[7]
	return uint64(s[0]) | uint64(s[1])<<8 | uint64(s[2])<<16 | uint64(s[3])<<24 |
		uint64(s[4])<<32 | uint64(s[5])<<40 | uint64(s[6])<<48 | uint64(s[7])<<56
}

// head reads the head of an item, which must be of a major type and as short as can be.
func (r *hotReader) head(major byte) uint64 {
	if r.at >= len(r.s) || r.s[r.at]&0xe0 != major {
		r.bad = true
		return 0
	}
	low := r.s[r.at] & 0x1f
	r.at++
	if low < 24 {
		return uint64(low)
	}
	if low > 27 {
		r.bad = true
		return 0
	}
	size := 1 << (low - 24)
	if len(r.s)-r.at < size {
		r.bad = true
		return 0
	}
	var n uint64
	for _, c := range []byte(r.s[r.at : r.at+size]) {
		n = n<<8 | uint64(c)
	}
	r.at += size
	least := uint64(24) // what is less has a shorter form
	if size > 1 {
		least = 1 << (4 * size)
	}
	r.bad = r.bad || n < least
	return n
}

// text reads a text that is unlike others, and lives as long as the entry; name one that comes
// again, or is kept.
func (r *hotReader) text() string {
	n := r.head(cborText)
	if r.bad || n > uint64(len(r.s)-r.at) {
		r.bad = true
		return ""
	}
	t := r.s[r.at : r.at+int(n)]
	r.at += int(n)
	if !utf8.ValidString(t) {
		r.bad = true
	}
	return t
}

func (r *hotReader) name() string { return r.names.text(r.text()) }

func (r *hotReader) int() int64 {
	if r.at < len(r.s) && r.s[r.at]&0xe0 == cborNeg {
		n := r.head(cborNeg)
		r.bad = r.bad || n > math.MaxInt64
		return -1 - int64(n)
	}
	n := r.head(cborUint)
	r.bad = r.bad || n > math.MaxInt64
	return int64(n)
}

func (r *hotReader) uint() uint64 { return r.head(cborUint) }

// list reads the length of a list of things that take a few bytes each.
func (r *hotReader) list(most int) int {
	n := r.head(cborArray)
	if n > uint64(most) || n > uint64(len(r.s)-r.at) {
		r.bad = true
		return 0
	}
	return int(n)
}

// some reads the length of a list that is left out when it is empty.
func (r *hotReader) some() int {
	n := r.list(api.MaxReportItems)
	r.bad = r.bad || n == 0
	return n
}

// begin reads the head of a map, and returns what end needs.
func (r *hotReader) begin() (outer uint64) {
	outer = r.left
	r.left = r.head(cborMap)
	return outer
}

// end checks that every field of a map was read.
func (r *hotReader) end(outer uint64) {
	r.bad = r.bad || r.left != 0
	r.left = outer
}

// has reads the name of a field if it is the next one.
func (r *hotReader) has(field string) bool {
	n := len(field)
	if r.left == 0 || len(r.s)-r.at <= n || r.s[r.at] != cborText|byte(n) || r.s[r.at+1:r.at+1+n] != field {
		return false
	}
	r.at += 1 + n
	r.left--
	return true
}

// must reads the name of the field that is next.
func (r *hotReader) must(field string) {
	if !r.has(field) {
		r.bad = true
	}
}

// skip passes over one item, whatever it is, as long as its length is known.
func (r *hotReader) skip(depth int) {
	if r.bad || r.at >= len(r.s) || depth > maxDepth {
		r.bad = true
		return
	}
	major := r.s[r.at] & 0xe0
	n := r.head(major)
	switch major {
	case cborText, cborBytes:
		if n > uint64(len(r.s)-r.at) {
			r.bad = true
			return
		}
		r.at += int(n)
	case cborArray, cborMap:
		if n > uint64(len(r.s)-r.at) {
			r.bad = true
			return
		}
		if major == cborMap {
			n *= 2
		}
		for range n {
			r.skip(depth + 1)
		}
	}
}

// read reads the body of a command of a kind that is written by hand; nil when it takes
// something else.
func (r *hotReader) read(k Kind) Command {
	c := r.body(k)
	if r.at != len(r.s) {
		return nil
	}
	return c
}

// body is read where something may follow the body.
func (r *hotReader) body(k Kind) Command {
	var c Command
	switch k { //nolint:exhaustive // the others are the codec's
	case KindGrantLeases:
		c = r.grant()
	case KindReportCell:
		c = r.report()
	case KindFreeLease:
		c = r.free()
	case KindRenewLease:
		c = r.renew()
	case KindAdvanceLeases:
		c = r.advance()
	case KindSetQuota:
		c = r.setQuota()
	default:
		return nil
	}
	if r.bad {
		return nil
	}
	return c
}

func (r *hotReader) idem() (i Idem) {
	r.must("idem")
	outer := r.begin()
	if r.has("key") {
		i.Key = r.text()
	}
	if r.has("hash") {
		i.Hash = r.text()
	}
	if r.has("scope") {
		i.Scope = r.name()
	}
	r.end(outer)
	return i
}

func (r *hotReader) stamp() (s api.Stamp) {
	r.must("stamp")
	outer := r.begin()
	r.must("boot_id")
	s.BootID = r.name()
	r.must("boottime_ns")
	s.BootTime = r.int()
	r.end(outer)
	return s
}

func (r *hotReader) grant() *GrantLeases {
	c := &r.pools.grants.take(1)[0]
	*c = GrantLeases{}
	outer := r.begin()
	c.Idem = r.idem()
	r.must("actor")
	c.Actor = r.name()
	r.must("items")
	if n := r.list(MaxItems); !r.bad {
		c.Items = r.pools.items.take(n)
	}
	for i := range c.Items {
		c.Items[i] = r.item()
	}
	c.Stamp = r.stamp()
	r.must("tenant")
	c.Tenant = api.TenantID(r.name())
	r.must("ttl_ms")
	c.TTLMs = r.int()
	r.must("cell_id")
	c.Cell = api.CellID(r.name())
	r.must("priority")
	c.Priority = api.Priority(r.name())
	r.must("provider")
	c.Provider = api.ProviderID(r.name())
	r.must("cell_epoch")
	c.CellEpoch = r.uint()
	r.end(outer)
	return c
}

func (r *hotReader) item() (i GrantItem) {
	outer := r.begin()
	if r.has("use") {
		i.Use = api.Use(r.name())
	}
	r.must("kind")
	i.Kind = api.LeaseKind(r.name())
	r.must("amount")
	i.Amount = r.int()
	r.must("lease_id")
	i.ID = api.LeaseID(r.text())
	r.end(outer)
	return i
}

func (r *hotReader) report() *ReportCell {
	c := &r.pools.reports.take(1)[0]
	*c = ReportCell{}
	outer := r.begin()
	if r.has("bound") {
		if n := r.some(); !r.bad {
			c.Bound = r.pools.bound.take(n)
		}
		for i := range c.Bound {
			c.Bound[i] = r.bound()
		}
	}
	if r.has("ended") {
		if n := r.some(); !r.bad {
			c.Ended = r.pools.ended.take(n)
		}
		for i := range c.Ended {
			c.Ended[i] = r.ended()
		}
	}
	r.must("cell_id")
	c.Cell = api.CellID(r.name())
	r.must("cell_epoch")
	c.Epoch = r.uint()
	r.end(outer)
	return c
}

func (r *hotReader) bound() (b api.BoundReport) {
	outer := r.begin()
	r.must("epoch")
	b.Epoch = r.uint()
	if r.has("token") {
		b.Token = r.text()
	}
	r.must("lease_id")
	b.LeaseID = api.LeaseID(r.text())
	if r.has("coordinate") {
		b.Coordinate = r.text()
	}
	r.must("generation")
	b.Generation = r.uint()
	r.end(outer)
	return b
}

func (r *hotReader) ended() (e api.EndedReport) {
	outer := r.begin()
	r.must("epoch")
	e.Epoch = r.uint()
	r.must("state")
	e.State = api.LeaseState(r.name())
	if r.has("reason") {
		e.Reason = r.name()
	}
	r.must("lease_id")
	e.LeaseID = api.LeaseID(r.text())
	r.end(outer)
	return e
}

func (r *hotReader) free() *FreeLease {
	c := new(FreeLease)
	outer := r.begin()
	c.Idem = r.idem()
	r.must("actor")
	c.Actor = r.name()
	if r.has("reason") {
		c.Reason = r.name()
	}
	r.must("lease_id")
	c.Lease = api.LeaseID(r.text())
	r.end(outer)
	return c
}

func (r *hotReader) renew() *RenewLease {
	c := new(RenewLease)
	outer := r.begin()
	c.Idem = r.idem()
	r.must("actor")
	c.Actor = r.name()
	c.Stamp = r.stamp()
	r.must("ttl_ms")
	c.TTLMs = r.int()
	r.must("lease_id")
	c.Lease = api.LeaseID(r.text())
	r.end(outer)
	return c
}

func (r *hotReader) advance() *AdvanceLeases {
	c := new(AdvanceLeases)
	outer := r.begin()
	r.must("leases")
	n := r.list(MaxAdvance)
	if r.bad {
		return c
	}
	c.Leases = make([]api.LeaseID, n)
	for i := range c.Leases {
		c.Leases[i] = api.LeaseID(r.text())
	}
	r.end(outer)
	return c
}

func (r *hotReader) setQuota() *SetQuota {
	c := new(SetQuota)
	outer := r.begin()
	c.Idem = r.idem()
	r.must("actor")
	c.Actor = r.name()
	r.must("quota")
	inner := r.begin()
	q := &c.Quota
	for _, f := range [...]struct {
		name string
		n    *int64
	}{{"cpu", &q.CPU}, {"gpu", &q.GPU}, {"mem", &q.Mem}, {"net", &q.Net}, {"block", &q.Block}, {"leases", &q.Leases}} {
		r.must(f.name)
		*f.n = r.int()
	}
	r.end(inner)
	r.must("tenant")
	c.Tenant = api.TenantID(r.name())
	r.end(outer)
	return c
}
