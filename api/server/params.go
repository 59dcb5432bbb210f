package server

import (
	"crypto/rand"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/grafos/grafos/api"
)

// ReadParams are the parameters of every read. It is exported for huma's reflection.
type ReadParams struct {
	Consistency string `query:"consistency" enum:"linearizable,stale" doc:"How fresh the answer must be; linearizable when left out."`
	MaxStale    string `query:"max_stale" maxLength:"20" doc:"How old a stale answer may be, like 5s: an older one is made linearizable. It asks for a stale one by itself."`
	Index       uint64 `query:"index" doc:"With wait: block until something of the answer changed after this index, which an answer told before."`
	Wait        string `query:"wait" maxLength:"20" doc:"How long to block, at most 5m: 30s. Without a change it takes up to a sixteenth longer."`
}

// options returns what the services take.
func (p ReadParams) options() (api.ReadOptions, error) {
	wait, err := parseWait("wait", p.Wait)
	if err != nil {
		return api.ReadOptions{}, err
	}
	stale, err := parseWait("max_stale", p.MaxStale)
	if err != nil {
		return api.ReadOptions{}, err
	}
	o := api.ReadOptions{Consistency: api.Consistency(p.Consistency), MaxStale: stale, AfterIndex: p.Index, Wait: wait}
	switch {
	case stale == 0:
	case o.Consistency == api.Linearizable:
		return o, api.Refuse(api.InvalidArgument, "max_stale %s bounds stale reads, and the query asks for a linearizable one", p.MaxStale)
	default:
		o.Consistency = api.Stale
	}
	return o, nil
}

// parseWait reads a duration within api.MaxWait.
func parseWait(name, s string) (time.Duration, error) {
	if s == "" {
		return 0, nil
	}
	d, err := time.ParseDuration(s)
	if err != nil || d < 0 || d > api.MaxWait {
		return 0, api.Refuse(api.InvalidArgument, "%s %q is not a duration from 0s to %s, like 30s", name, clip(s, 40), api.MaxWait)
	}
	return d, nil
}

// WriteParams are the parameters of every write. It is exported for huma's reflection.
type WriteParams struct {
	Key    string `header:"Idempotency-Key" maxLength:"128" doc:"Makes repeating the write harmless for 24 h; one is made when it is left out."`
	Reason string `query:"reason" maxLength:"512" doc:"Why, for the audit chain."`
	DryRun bool   `query:"dry_run" doc:"Check everything and change nothing."`
}

// options returns what the services take.
func (p WriteParams) options() (api.WriteOptions, error) {
	if p.Key != "" {
		if err := api.CheckKey(p.Key); err != nil {
			return api.WriteOptions{}, err
		}
	}
	if strings.ContainsFunc(p.Reason, func(r rune) bool { return r < ' ' }) {
		return api.WriteOptions{}, api.Refuse(api.InvalidArgument, "reason has a control character")
	}
	return api.WriteOptions{IdempotencyKey: p.Key, Reason: p.Reason, DryRun: p.DryRun}, nil
}

// maxReason bounds a reason, as WriteParams says it.
const maxReason = 512

// plainOptions are the parameters of a write whose route reads its query itself. What a typed route refuses
// is refused here too: a dry run that is misread is a real one.
func plainOptions(r *http.Request) (api.WriteOptions, error) {
	reason := r.URL.Query().Get("reason")
	if utf8.RuneCountInString(reason) > maxReason {
		return api.WriteOptions{}, api.Refuse(api.InvalidArgument, "query reason is longer than %d characters", maxReason)
	}
	dry, err := boolParam(r, "dry_run")
	if err != nil {
		return api.WriteOptions{}, err
	}
	return WriteParams{Key: r.Header.Get(headKey), Reason: reason, DryRun: dry}.options()
}

// boolParam reads a query parameter as typed routes do.
func boolParam(r *http.Request, name string) (bool, error) {
	text := r.URL.Query().Get(name)
	if text == "" {
		return false, nil
	}
	b, err := strconv.ParseBool(text)
	if err != nil {
		return false, api.Refuse(api.InvalidArgument, "query %s %q is neither true nor false", name, clip(text, 40))
	}
	return b, nil
}

// PageParams are the parameters of a list that comes in pages.
type PageParams struct {
	Limit int    `query:"limit" minimum:"0" maximum:"1000" doc:"How many at most; the scheduler's choice when left out."`
	Page  string `query:"page_token" maxLength:"512" doc:"Continues the list: next_page_token of the page before."`
}

// ensureKey gives a write without an idempotency key one, at its first hop, so that
// forwarding may repeat it. A header that is there and empty is a mistake: whoever sent it
// believes that the write can be repeated.
func ensureKey(r *http.Request) error {
	switch keys := r.Header[headKey]; {
	case len(keys) == 0:
		r.Header[headKey] = []string{rand.Text()}
	case len(keys) > 1:
		return api.Refuse(api.InvalidArgument, "the request has %d headers %s: one is for one request", len(keys), headKey)
	case keys[0] == "":
		return api.CheckKey("")
	}
	return nil
}
