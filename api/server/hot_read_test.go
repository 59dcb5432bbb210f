package server

import (
	"bytes"
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/grafos/grafos/api"
)

// get asks for a path; a header of accept makes it take the way of all routes or the short one.
func (w *twoWays) get(t *testing.T, role api.Role, method, target, accept string) (*httptest.ResponseRecorder, []seen) {
	t.Helper()
	w.fake.calls = nil
	r := httptest.NewRequestWithContext(t.Context(), method, target, nil)
	if accept != "" {
		r.Header.Set("Accept", accept)
	}
	r.TLS = w.states[role]
	out := httptest.NewRecorder()
	w.handler.ServeHTTP(out, r)
	id := out.Header().Get(headRequestID)
	if len(id) != 16 {
		t.Errorf("request id %q", id)
	}
	out.Header().Del(headRequestID)
	out.Body = bytes.NewBuffer(bytes.ReplaceAll(out.Body.Bytes(), []byte(id), []byte("ID")))
	return out, w.fake.calls
}

// longWay is an Accept header that huma takes for JSON, and that is not plain.
const longWay = "application/json, */*"

// readAlike holds the two ways of a read against each other.
func (w *twoWays) readAlike(t *testing.T, role api.Role, method, target string) int {
	t.Helper()
	long, b := w.get(t, role, method, target, longWay)
	for _, accept := range []string{"application/json", "*/*", ""} {
		short, a := w.get(t, role, method, target, accept)
		for what, diff := range map[string]string{
			"header": cmp.Diff(long.Header(), short.Header()),
			"body":   cmp.Diff(long.Body.String(), short.Body.String()),
			"call":   cmp.Diff(b, a),
		} {
			if diff != "" || long.Code != short.Code {
				t.Fatalf("%s %s as %q: %d or %d, %s (- long, + short):\n%s", method, target, accept, long.Code, short.Code, what, diff)
			}
		}
	}
	return long.Code
}

// hotReads are the reads with a short way.
func hotReads() map[string]api.Role {
	const v1 = "/api/v1/"
	return map[string]api.Role{
		v1 + "leases": api.RoleTenant, v1 + "leases/l-1": api.RoleTenant, v1 + "runs": api.RoleViewer, v1 + "runs/r-1": api.RoleOperator,
		v1 + "cells": api.RoleTenant, v1 + "providers": api.RoleTenant, "/peer/v1/read-index": api.RoleScheduler,
	}
}

func refusals() []error {
	return []error{
		api.Refuse(api.QuotaExceeded, "no <more>").WithHint("ask"), later(api.Refuse(api.Overloaded, "busy")),
		api.Refuse(api.NotFound, "gone").AtIndex(7), http.ErrBodyNotAllowed,
	}
}

// TestHotReadIsAlike: what is asked the short way is asked of the service, answered and refused
// as anything else, whoever asks, and whatever is wrong with the question.
func TestHotReadIsAlike(t *testing.T) {
	w := bothWays(t)
	queries := []string{
		"", "consistency=stale", "consistency=linearizable", "consistency=", "consistency=old", "consistency=stale&consistency=stale",
		"max_stale=5s", "max_stale=x", "consistency=linearizable&max_stale=1s", "index=7&wait=1ms", "index=7", "wait=1ms", "wait=x", "w%61it=x",
		"more=1", "consistency=st%61le", "consistency=stale&", "&consistency=stale", ";", "%", "%zz=1", "limit=5", "limit=-1", "page_token=x",
		"tenant=acme", "state=active", "state=none", "all=true", "provider=" + strings.Repeat("x", 64), "Consistency=stale",
	}
	for path, role := range hotReads() {
		for _, query := range queries {
			if strings.HasPrefix(path, "/peer/") && strings.Contains(query, "&") {
				continue // huma lists two parameters that it does not know in any order
			}
			target := path
			if query != "" {
				target += "?" + query
			}
			for _, who := range []api.Role{role, api.RoleTenant, api.RoleCell, api.RoleScheduler, ""} {
				code := w.readAlike(t, who, http.MethodGet, target)
				if who == role && query == "" && code != http.StatusOK {
					t.Errorf("%s: %d", path, code)
				}
				w.readAlike(t, who, http.MethodHead, target)
			}
		}
		for _, err := range refusals() {
			w.fake.err = err
			w.readAlike(t, role, http.MethodGet, path)
			w.readAlike(t, role, http.MethodGet, path+"?consistency=stale")
		}
		w.fake.err = nil
	}
	for _, id := range []string{
		"L-1", "l-1:renew", "l-1:", ":", "l%2F1", "%6c-1", "l 1", "%00", "%ff", "%C3%BC", "..", "-", strings.Repeat("x", 63), strings.Repeat("x", 64),
		strings.Repeat("x", 128), strings.Repeat("x", 129), strings.Repeat("%C3%BC", 127), "l-1/x", "l-1//",
	} {
		for _, path := range []string{"/api/v1/leases/", "/api/v1/runs/"} {
			w.readAlike(t, api.RoleTenant, http.MethodGet, path+strings.ReplaceAll(id, " ", "%20"))
		}
	}
}

// TestHotReadIsShort: a plain read goes the short way, which has no timer. Without this the other
// tests hold a way against itself.
func TestHotReadIsShort(t *testing.T) {
	w := bothWays(t)
	timed := false
	w.fake.hook = func(ctx context.Context, _ string) error {
		_, timed = ctx.Deadline()
		return nil
	}
	for path, role := range hotReads() {
		for accept, long := range map[string]bool{"application/json": false, "*/*": false, "": false, longWay: true} {
			if w.get(t, role, http.MethodGet, path, accept); timed != long {
				t.Errorf("%s as %q: the long way %v, want %v", path, accept, timed, long)
			}
		}
	}
}

// TestHotReadWithBody: a read with a body is read to its end, or refused, as on every route.
func TestHotReadWithBody(t *testing.T) {
	w := bothWays(t)
	for _, size := range []int{1, maxBody, maxBody + 1} {
		var codes []int
		for _, accept := range []string{"application/json", longWay} {
			r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/api/v1/leases/l-1", strings.NewReader(strings.Repeat("x", size)))
			r.Header.Set("Accept", accept)
			r.TLS = w.states[api.RoleTenant]
			out := httptest.NewRecorder()
			w.handler.ServeHTTP(out, r)
			codes = append(codes, out.Code)
		}
		if codes[0] != codes[1] || size > maxBody == (codes[0] == http.StatusOK) {
			t.Errorf("%d bytes: %v", size, codes)
		}
	}
}
