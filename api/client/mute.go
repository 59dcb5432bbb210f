package client

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/grafos/grafos/api"
)

const (
	// askTime bounds a question to a scheduler that has just let a call's time pass, and
	// askShare is the part of the call's time that it may use up.
	askTime  = 500 * time.Millisecond
	askShare = 4
)

// mute is told of a try that failed after took. A scheduler that took the call and let its time
// pass may be alive, and wait for a leader for longer than the call does: it is asked, and where
// it says that it knows none, that is the try's error, since it says what is wrong. Otherwise the
// error stays, and it is kept who was mute.
func (r *pursuit) mute(ctx context.Context, base string, err error, took time.Duration) error {
	if _, broken := errors.AsType[*brokenError](err); !broken || !r.tried || !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	r.silent = fmt.Sprintf("%s took the request and did not answer within %s", base, took.Round(100*time.Millisecond))
	end, bounded := ctx.Deadline()
	if !bounded || ctx.Err() != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, min(askTime, time.Until(end)/askShare))
	defer cancel()
	p := prepared{call: call{method: http.MethodGet, path: "/livez"}}
	resp, _, asked := r.client.try(ctx, base, &p) //nolint:bodyclose // drain closes it
	if asked != nil {
		return err
	}
	drain(resp.Body)
	if told := resp.Header["Grafos-Leader"]; len(told) == 0 || told[0] != "" {
		return err
	}
	return api.Refuse(api.NoLeader, "%s: it knows no leader, and waits for one", r.silent).WithHint("%s", hintQuorum)
}

const hintQuorum = "see whether a quorum of schedulers runs (grafos dev status, or /readyz?verbose of each); what one knows is still told: --consistency stale"
