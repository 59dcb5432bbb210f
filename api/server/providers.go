package server

import (
	"context"

	"github.com/grafos/grafos/api"
)

type listProvidersIn struct{ ReadParams }

func (s *server) listProviders(ctx context.Context, in *listProvidersIn) (*api.ProviderList, error) {
	o, err := in.options()
	if err != nil {
		return nil, err
	}
	return s.config.Services.ListProviders(ctx, o)
}

type providerIn struct {
	Provider string `path:"p"`
	ReadParams
}

func (s *server) providerStatus(ctx context.Context, in *providerIn) (*api.ProviderStatus, error) {
	o, err := in.options()
	if err != nil {
		return nil, err
	}
	return s.config.Services.ProviderStatus(ctx, api.ProviderID(in.Provider), o)
}

type switchProviderIn struct {
	Provider string `path:"p"`
	WriteParams
}

func (s *server) enableProvider(ctx context.Context, in *switchProviderIn) (*api.ProviderStatus, error) {
	return s.switchProvider(ctx, in, true)
}

func (s *server) disableProvider(ctx context.Context, in *switchProviderIn) (*api.ProviderStatus, error) {
	return s.switchProvider(ctx, in, false)
}

func (s *server) switchProvider(ctx context.Context, in *switchProviderIn, on bool) (*api.ProviderStatus, error) {
	o, err := in.options()
	if err != nil {
		return nil, err
	}
	return s.config.Services.EnableProvider(ctx, api.ProviderID(in.Provider), on, o)
}

type revokeCellIn struct {
	Provider string `path:"p"`
	Cell     string `path:"c"`
	WriteParams
	Body *api.RevokeCellRequest
}

func (s *server) revokeCell(ctx context.Context, in *revokeCellIn) (*api.ProviderStatus, error) {
	o, err := in.options()
	if err != nil {
		return nil, err
	}
	return s.config.Services.RevokeCell(ctx, api.ProviderID(in.Provider), api.CellID(in.Cell), orZero(in.Body), o)
}

type listCellsIn struct {
	Provider string `query:"provider" maxLength:"63" doc:"Only this provider's cells."`
	ReadParams
}

func (s *server) listCells(ctx context.Context, in *listCellsIn) (*api.CellList, error) {
	o, err := in.options()
	if err != nil {
		return nil, err
	}
	return s.config.Services.ListCells(ctx, api.ProviderID(in.Provider), o)
}

// orZero is what an optional body says.
func orZero[T any](body *T) T {
	if body == nil {
		var zero T
		return zero
	}
	return *body
}
