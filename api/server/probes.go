package server

import (
	"fmt"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/grafos/grafos/api"
)

// alive is the answer of livez.
type alive struct {
	Status string `json:"status"`
}

// fitness is the answer of readyz; the checks are told when verbose is asked for.
type fitness struct {
	Ready  bool    `json:"ready"`
	Checks []check `json:"checks,omitempty"`
}

// check is one thing that makes a scheduler ready.
type check struct {
	Name   string `json:"name"`
	OK     bool   `json:"ok"`
	Detail string `json:"detail"`
}

func (s *server) livez(x *exchange, _ *http.Request) error {
	x.answer(http.StatusOK, alive{Status: "ok"})
	return nil
}

// readyz says whether requests should be sent here: there is a leader, and the state has
// caught up with it.
func (s *server) readyz(x *exchange, r *http.Request) error {
	n := s.config.Info()
	answer := fitness{Ready: n.Ready}
	if r.URL.Query().Has("verbose") {
		answer.Checks = checks(n)
	}
	status := http.StatusOK
	if !n.Ready {
		status = http.StatusServiceUnavailable
	}
	x.answer(status, answer)
	return nil
}

func checks(n api.NodeState) []check {
	leader := check{Name: "leader", OK: n.Leader != "", Detail: "no leader is known"}
	if leader.OK {
		leader.Detail = fmt.Sprintf("%s leads in term %d, heard %d ms ago", n.Leader, n.Term, n.LastContactMs)
	}
	applied := check{
		Name: "caught_up", OK: n.AppliedIndex >= n.CommitIndex,
		Detail: fmt.Sprintf("applied %d of %d", n.AppliedIndex, n.CommitIndex),
	}
	ready := check{Name: "ready", OK: n.Ready, Detail: "takes requests"}
	if !n.Ready {
		ready.Detail = n.NotReady
	}
	invariants := check{Name: "invariants", OK: len(n.Broken) == 0, Detail: fmt.Sprintf("%d broken", len(n.Broken))}
	agreement := check{Name: "agreement", OK: n.Differs == "", Detail: "the schedulers have one state"}
	if !agreement.OK {
		agreement.Detail = n.Differs
	}
	return []check{leader, applied, invariants, agreement, ready}
}

func (s *server) caPEM(x *exchange, _ *http.Request) error {
	if len(s.config.CAPEM) == 0 {
		return api.Refuse(api.NotFound, "this scheduler has no CA certificate to show")
	}
	x.Header().Set("Content-Type", "application/x-pem-file")
	_, _ = x.Write(s.config.CAPEM) // a reader who left needs no answer
	return nil
}

func (s *server) metrics(x *exchange, r *http.Request) error {
	if s.config.Metrics == nil {
		return api.Refuse(api.NotFound, "this scheduler has no metrics")
	}
	s.config.Metrics.ServeHTTP(x, r)
	return nil
}

func (s *server) openAPIDoc(x *exchange, _ *http.Request) error {
	x.Header().Set("Content-Type", "application/openapi+json")
	_, _ = x.Write(s.openAPI) // as above
	return nil
}

// describeAs says what an operation answers, for people.
func describeAs(what string) func(*huma.Operation) {
	return func(op *huma.Operation) { op.Responses["200"] = &huma.Response{Description: what} }
}
