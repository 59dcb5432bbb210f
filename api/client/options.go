package client

import (
	"net/url"
	"strconv"

	"github.com/grafos/grafos/api"
)

// readQuery adds the options of a read to q, which may be nil.
func readQuery(q url.Values, o api.ReadOptions) url.Values {
	if q == nil {
		q = url.Values{}
	}
	put(q, "consistency", string(o.Consistency))
	if o.MaxStale > 0 {
		q.Set("max_stale", o.MaxStale.String())
	}
	if o.Wait > 0 {
		q.Set("index", strconv.FormatUint(o.AfterIndex, 10))
		q.Set("wait", o.Wait.String())
	}
	return q
}

// writeQuery returns the options of a write.
func writeQuery(o api.WriteOptions) url.Values {
	q := url.Values{}
	put(q, "reason", o.Reason)
	if o.DryRun {
		q.Set("dry_run", "true")
	}
	return q
}

// put sets what is not empty.
func put(q url.Values, name, value string) {
	if value != "" {
		q.Set(name, value)
	}
}

// putInt sets what is not zero.
func putInt(q url.Values, name string, n uint64) {
	if n != 0 {
		q.Set(name, strconv.FormatUint(n, 10))
	}
}

// seg escapes one segment of a path. An empty one would name another route, so it becomes a
// name that nothing has.
func seg[T ~string](s T) string {
	if s == "" {
		return "-"
	}
	return url.PathEscape(string(s))
}
