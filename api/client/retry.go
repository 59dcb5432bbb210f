package client

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"time"

	"github.com/grafos/grafos/api"
)

const (
	backoffBase = 25 * time.Millisecond
	backoffCap  = time.Second
	// maxRetryAfter bounds the wait that an answer asks for.
	maxRetryAfter = 30 * time.Second
	// attemptShare is the part of a call's time that one scheduler may use up.
	attemptShare = 2
)

// verdict is what to do after a try that failed.
type verdict int

const (
	final verdict = iota // it is the answer
	other                // another scheduler may do better
	later                // the same one may, after a while
)

// judge says whether a call that failed with err is tried again, and after how long at
// least.
func judge(err error) (verdict, time.Duration) {
	if _, ok := errors.AsType[*endedError](err); ok {
		return final, 0
	}
	if _, ok := errors.AsType[*brokenError](err); ok {
		return other, 0
	}
	p, ok := api.AsError(err)
	if !ok {
		return final, 0
	}
	wait := time.Duration(min(max(p.RetryAfterMs, 0), maxRetryAfter.Milliseconds())) * time.Millisecond
	switch p.Kind { //nolint:exhaustive // every other kind is an answer
	case api.NoLeader, api.OutcomeUnknown, api.SchedulerRemoved:
		return other, wait
	case api.Overloaded:
		return later, wait
	}
	return final, 0
}

// backoff returns a random wait below base doubled round times, at most backoffCap.
func backoff(round int) time.Duration {
	top := min(backoffCap, backoffBase<<min(round, 10))
	return rand.N(top) + time.Millisecond
}

// do sends a call until it has an answer, and reads that into out.
func (c *Client) do(ctx context.Context, k call, out any) error {
	return c.each(ctx, k, func(resp *http.Response) error { return decode(resp, out) })
}

// each sends a call until take has accepted an answer. take closes the answer's body, or,
// of a stream, keeps it open.
func (c *Client) each(ctx context.Context, k call, take func(*http.Response) error) error {
	p, err := k.prepare()
	if err != nil {
		return err
	}
	bounded, cancel := context.WithTimeout(ctx, c.config.Timeout+k.extra)
	defer cancel()

	run := pursuit{client: c, call: &p, waits: k.waits, began: time.Now()}
	if run.waits == nil {
		run.waits = c.waits()
	}
	for {
		base, began := c.URL(), time.Now()
		err := run.once(ctx, bounded, base, take)
		if err == nil {
			return nil
		}
		run.failures++
		took := time.Since(began)
		run.doubt(err, took)
		err = run.mute(bounded, base, err, took)
		run.listen(base, err)
		if !run.again(bounded, base, err) {
			return run.end(ctx, bounded, err)
		}
	}
}

// pursuit is a call under way.
type pursuit struct {
	client   *Client
	call     *prepared
	waits    *waits
	began    time.Time
	failures int
	// sent says that some scheduler may have seen the call, tried that the one of the newest
	// try may.
	sent, tried bool
	// unsure says that some scheduler may have done it: it saw the call, and did not say what
	// became of it. One that answers no_leader, or that it was removed, has not.
	unsure bool
	// held is for how long a scheduler held the call at most before it said no_leader.
	held time.Duration
	// said is the newest problem that a scheduler answered with: it says more than that
	// another one could not be reached.
	said *api.Error
	// silent says which scheduler took the call last and let its time pass.
	silent string
	// removed are the schedulers that said that they are no members any more.
	removed map[string]bool
	// distrusted counts the tries in a row that TLS ended.
	distrusted int
}

// once makes one try within its share of the call's time, which bounded holds. What take
// keeps of a stream lives on, as long as ctx does.
func (r *pursuit) once(ctx, bounded context.Context, base string, take func(*http.Response) error) error {
	if !r.call.stream {
		return r.brief(bounded, base, take)
	}
	try, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(bounded, cancel)
	timer := time.AfterFunc(r.share(), cancel)
	resp, sent, err := r.client.try(try, base, r.call) //nolint:bodyclose // take closes it
	r.sent, r.tried = r.sent || sent, sent
	timer.Stop()
	stop()
	if err != nil {
		cancel()
		return err
	}
	resp.Body = &liveBody{ReadCloser: resp.Body, cancel: cancel}
	return take(resp)
}

// brief is once for a call whose answer is taken at once.
func (r *pursuit) brief(bounded context.Context, base string, take func(*http.Response) error) error {
	try := bounded
	if share := r.share(); share < r.client.config.Timeout+r.call.extra {
		var cancel context.CancelFunc
		try, cancel = context.WithTimeout(bounded, share)
		defer cancel()
	}
	resp, sent, err := r.client.try(try, base, r.call) //nolint:bodyclose // take closes it
	r.sent, r.tried = r.sent || sent, sent
	if err != nil {
		return err
	}
	return take(resp)
}

// share returns how long one try may take: all the time where there is nobody else to ask.
func (r *pursuit) share() time.Duration {
	all := r.client.config.Timeout + r.call.extra
	if len(r.client.urls) == 1 || r.call.open != nil {
		return all
	}
	return r.call.extra + r.client.config.Timeout/attemptShare
}

// liveBody is a stream's body, which holds its request's context.
type liveBody struct {
	io.ReadCloser
	cancel context.CancelFunc
}

// Close ends the request.
func (b *liveBody) Close() error {
	b.cancel()
	return b.ReadCloser.Close()
}

// again decides whether there is another try after err, and waits for its time.
func (r *pursuit) again(ctx context.Context, base string, err error) bool {
	what, wait := judge(err)
	n := len(r.client.urls)
	if what == final && untrusted(err) && !r.sent && r.distrusted+1 < n {
		r.distrusted++ // this scheduler's TLS fails; the others' may not
		what = other
	}
	if what == final || ctx.Err() != nil || r.client.attempts > 0 && r.failures >= r.client.attempts {
		return false
	}
	if r.hopeless(ctx) || r.weary(err) || len(r.removed) == n {
		return false
	}
	if what == other {
		r.client.next(base)
	}
	if what == later || wait > 0 || r.failures%n == 0 {
		wait = max(wait, 0) + backoff(r.failures/n)
	}
	r.waits.failed(err)
	r.client.config.Log.Debug("call again", "method", r.call.method, "path", r.call.path,
		"scheduler", base, "failures", r.failures, "wait", wait, "error", err)
	return pause(ctx, wait)
}

// leastHold is from when on a scheduler is taken to have waited for a leader.
const leastHold = time.Second

// hopeless reports whether another try of a write would only be cut off before its answer, so
// that nobody knew any more what became of it: it is known now that it was not done.
func (r *pursuit) hopeless(ctx context.Context) bool {
	end, bounded := ctx.Deadline()
	return bounded && r.call.write && !r.unsure && r.held > leastHold && time.Until(end) < r.held+leastHold
}

// cellPatience is what a cell needs to find out that its scheduler is silent, with a heartbeat every 5 s, and to open its
// session to another one.
const cellPatience = 20 * time.Second

// weary reports whether a cell has had its time to come back. One that was lost in the middle of a long
// operation is asked once more in any case.
func (r *pursuit) weary(err error) bool {
	if !r.call.cell || r.client.patience == 0 || r.failures < 2 || time.Since(r.began) < r.client.patience {
		return false
	}
	_, broken := errors.AsType[*brokenError](err)
	return !broken && api.KindOf(err) == api.OutcomeUnknown
}

// doubt notes that a scheduler may have done what it was sent, or that it has not, and how long
// it took to say so.
func (r *pursuit) doubt(err error, took time.Duration) {
	_, broken := errors.AsType[*brokenError](err)
	r.unsure = r.unsure || r.tried && broken || api.KindOf(err) == api.OutcomeUnknown
	if !broken && api.KindOf(err) == api.NoLeader {
		r.held = max(r.held, took)
	}
}

// listen keeps what a scheduler said. That one was removed says nothing of the cluster, unless
// all say so.
func (r *pursuit) listen(base string, err error) {
	if _, broken := errors.AsType[*brokenError](err); broken {
		return
	}
	p, ok := api.AsError(err)
	switch {
	case !ok:
	case p.Kind == api.SchedulerRemoved:
		if r.removed == nil {
			r.removed = map[string]bool{}
		}
		r.removed[base] = true
	default:
		r.said = p
	}
}

// passed reports whether err says nothing of what became of the call, or of what would.
func (r *pursuit) passed(err error) bool {
	if _, broken := errors.AsType[*brokenError](err); broken {
		return true
	}
	switch api.KindOf(err) { //nolint:exhaustive // every other kind is an answer
	case api.NoLeader:
		return r.call.write && r.unsure
	case api.SchedulerRemoved:
		return len(r.removed) < len(r.client.urls) || r.call.write && r.unsure
	}
	return false
}

// untrusted reports whether TLS, or our own check in it, found the other side to be somebody
// else.
func untrusted(err error) bool {
	kind := api.KindOf(err)
	return kind == api.Unauthenticated || kind == api.IdentityMismatch
}

// end returns the error that the call ends with, err being that of its last try.
func (r *pursuit) end(ctx, bounded context.Context, err error) error {
	if !r.passed(err) {
		return err // a refusal says more than that the time is up
	}
	cause := err
	if bounded.Err() != nil {
		cause = errors.Join(bounded.Err(), err)
	}
	what := r.call.method + " " + r.call.path
	switch {
	case r.call.write && r.unsure:
		p := api.Refuse(api.OutcomeUnknown, "%s was sent, and its outcome was not learned: %v", what, err).
			WithHint("repeat it with the same idempotency key: %s", r.call.key)
		return &endedError{problem: p, cause: cause}
	case errors.Is(ctx.Err(), context.Canceled):
		return &endedError{problem: api.Refuse(api.OutcomeUnknown, "%s was given up by its caller", what), cause: cause}
	}
	if r.said != nil {
		return &endedError{problem: r.said, cause: cause}
	}
	if r.silent != "" {
		p := api.Refuse(api.NoLeader, "%s, and no other one of %s answered", r.silent, strings.Join(r.client.urls, ", ")).
			WithHint("it may wait for a leader: give it more time (--timeout), or %s", hintQuorum)
		return &endedError{problem: p, cause: cause}
	}
	p := api.Refuse(api.NoLeader, "no scheduler of %s answered: %v", strings.Join(r.client.urls, ", "), err).
		WithHint("check the addresses, and that a scheduler is running")
	return &endedError{problem: p, cause: cause}
}

// pause waits for d, and reports whether ctx lasted that long.
func pause(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
