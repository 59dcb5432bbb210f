package server

import (
	"context"
	"net/http"

	"github.com/grafos/grafos/api"
)

func (s *server) readIndex(ctx context.Context, _ *struct{}) (*api.ReadIndex, error) {
	return s.config.Peers.ReadIndex(ctx)
}

func (s *server) member(ctx context.Context, _ *struct{}) (*api.MemberState, error) {
	return s.config.Peers.Member(ctx)
}

// dismissIn may have no body: a release sends none that does not tell who.
type dismissIn struct {
	Body *api.Dismissal
}

func (s *server) dismiss(ctx context.Context, in *dismissIn) (*taken, error) {
	if err := s.config.Peers.Dismiss(ctx, orZero(in.Body)); err != nil {
		return nil, err
	}
	return &taken{Taken: true}, nil
}

func (s *server) sightings(ctx context.Context, _ *struct{}) (*api.SightingTable, error) {
	return s.config.Peers.Sightings(ctx)
}

type peerReportIn struct {
	Provider string `query:"provider" required:"true" maxLength:"63"`
	Cell     string `query:"cell_id" required:"true" maxLength:"63"`
	Body     api.Report
}

func (s *server) peerReport(ctx context.Context, in *peerReportIn) (*api.ReportAnswer, error) {
	if err := checkReport(in.Body); err != nil {
		return nil, err
	}
	return s.config.Peers.TakeReport(ctx, api.ProviderID(in.Provider), api.CellID(in.Cell), in.Body)
}

type peerAskIn struct {
	Cell string `query:"cell_id" required:"true" maxLength:"63"`
	Body api.Ask
}

// taken says that a peer took what it was handed.
type taken struct {
	Taken bool `json:"taken"`
}

func (s *server) peerAsk(ctx context.Context, in *peerAskIn) (*taken, error) {
	if err := s.config.Peers.AskCell(ctx, api.CellID(in.Cell), in.Body); err != nil {
		return nil, err
	}
	return &taken{Taken: true}, nil
}

func (s *server) putReplica(x *exchange, r *http.Request) error {
	return takeBlob(x, r, s.config.Peers.PutReplica)
}

func (s *server) getReplica(x *exchange, r *http.Request) error {
	d, err := digestOf(r)
	if err != nil {
		return err
	}
	body, size, err := s.config.Peers.GetReplica(r.Context(), d)
	if err != nil {
		return err
	}
	return sendBlob(x, body, d, size, "application/octet-stream")
}

type peerReferIn struct {
	Digest string `path:"digest" maxLength:"71"`
	Tenant string `query:"tenant" maxLength:"63"` // empty: an operator put it
	Size   int64  `query:"size" required:"true" minimum:"0"`
}

func (s *server) peerRefer(ctx context.Context, in *peerReferIn) (*taken, error) {
	d := api.Digest(in.Digest)
	if err := api.CheckDigest(d); err != nil {
		return nil, err
	}
	if err := s.config.Peers.ReferBlob(ctx, api.TenantID(in.Tenant), d, in.Size); err != nil {
		return nil, err
	}
	return &taken{Taken: true}, nil
}

type peerAuditIn struct{ AuditParams }

func (s *server) peerAudit(ctx context.Context, in *peerAuditIn) (*api.AuditPage, error) {
	return s.config.Peers.AuditReplica(ctx, in.filter())
}
