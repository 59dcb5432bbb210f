package client

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/grafos/grafos/api"
)

// answers is a transport that gives one answer to every request.
type answers struct {
	status int
	header http.Header
	body   string
}

// RoundTrip answers.
func (a answers) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body != nil {
		_ = r.Body.Close()
	}
	h := a.header.Clone()
	if h == nil {
		h = http.Header{}
	}
	return &http.Response{
		Status: http.StatusText(a.status), StatusCode: a.status, Proto: "HTTP/2.0", ProtoMajor: 2, Header: h, Request: r,
		Body: io.NopCloser(strings.NewReader(a.body)), ContentLength: int64(len(a.body)),
	}, nil
}

// FuzzProblem: whatever a scheduler, or something in front of it, answers, is a problem with
// words, a kind and a verdict; a call never takes it for a success.
func FuzzProblem(f *testing.F) {
	f.Add(uint16(409), "conflict", `{"type":"urn:grafos:problem:conflict","kind":"conflict","title":"conflict","status":409,"detail":"no","retryable":false}`)
	f.Fuzz(func(t *testing.T, status uint16, kind, body string) {
		if status < 300 || status > 599 {
			status = 300 + status%300
		}
		for _, method := range []string{http.MethodGet, http.MethodHead} {
			r, err := http.NewRequestWithContext(t.Context(), method, "https://s1:7490/api/v1/leases", nil)
			if err != nil {
				t.Fatal(err)
			}
			resp, err := answers{int(status), http.Header{"Grafos-Kind": {kind}}, body}.RoundTrip(r)
			if err != nil {
				t.Fatal(err)
			}
			err = answerError("https://s1:7490", resp)
			_ = resp.Body.Close() // again: it is text
			if err == nil || err.Error() == "" {
				t.Fatalf("%s: %d %q is no error: %v", method, status, body, err)
			}
			what, wait := judge(err)
			_, broken := errors.AsType[*brokenError](err)
			if p, ok := api.AsError(err); !broken && (!ok || p.Kind == "") {
				t.Fatalf("%s: %d %q has no kind: %v", method, status, body, err)
			}
			if broken && what != other {
				t.Fatalf("%s: %d %q is broken, and nobody else is asked", method, status, body)
			}
			if wait < 0 || wait > maxRetryAfter {
				t.Fatalf("%s: %d %q makes us wait %s", method, status, body, wait)
			}
		}
	})
}

// FuzzPeerAnswers: whatever another scheduler answers, the call ends, with an answer or an
// error, and a blob is never taken for one that it is not.
func FuzzPeerAnswers(f *testing.F) {
	f.Add(uint16(200), `{"index":7,"term":2}`)
	p, err := NewPeer(Config{URLs: []string{"https://s2:7490"}, Timeout: time.Second})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, status uint16, body string) {
		if status < 200 || status > 599 {
			status = 200 + status%400
		}
		p.client.streams = answers{int(status), nil, body}
		ctx := t.Context()
		for name, call := range map[string]func() (any, error){
			"ReadIndex":    func() (any, error) { return p.ReadIndex(ctx) },
			"Sightings":    func() (any, error) { return p.Sightings(ctx) },
			"TakeReport":   func() (any, error) { return p.TakeReport(ctx, "aws", "aws-1", api.Report{}) },
			"AuditReplica": func() (any, error) { return p.AuditReplica(ctx, api.AuditFilter{}) },
			"AskCell":      func() (any, error) { return nil, p.AskCell(ctx, "aws-1", api.Ask{}) },
			"ReferBlob":    func() (any, error) { return nil, p.ReferBlob(ctx, "acme", digest, 1) },
			"GetReplica":   func() (any, error) { return nil, readReplica(ctx, p) },
		} {
			if _, err := call(); err == nil && (status < 200 || status > 299) {
				t.Fatalf("%s takes %d %q for a success", name, status, body)
			} else if err != nil && err.Error() == "" {
				t.Fatalf("%s: an error without words", name)
			}
		}
	})
}

const digest = api.Digest("sha256:2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881") // of x

// readReplica reads one blob to its end, where its digest is checked.
func readReplica(ctx context.Context, p *Peer) error {
	body, _, err := p.GetReplica(ctx, digest)
	if err != nil {
		return err
	}
	b, err := io.ReadAll(body)
	if closeErr := body.Close(); err == nil && closeErr != nil {
		return closeErr
	}
	if err == nil && string(b) != "x" {
		return api.Refuse(api.Internal, "%q passed for a blob that it is not", b)
	}
	return err
}
