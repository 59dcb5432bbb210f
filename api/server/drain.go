package server

import (
	"context"

	"github.com/grafos/grafos/api"
)

type drainIn struct {
	Cell string `path:"c"`
	WriteParams
	Body *api.DrainRequest
}

func (s *server) drainCell(ctx context.Context, in *drainIn) (*api.CellAnswer, error) {
	o, err := in.options()
	if err != nil {
		return nil, err
	}
	return s.config.Services.DrainCell(ctx, api.CellID(in.Cell), orZero(in.Body), o)
}

type undrainIn struct {
	Cell string `path:"c"`
	WriteParams
}

func (s *server) undrainCell(ctx context.Context, in *undrainIn) (*api.CellAnswer, error) {
	o, err := in.options()
	if err != nil {
		return nil, err
	}
	return s.config.Services.UndrainCell(ctx, api.CellID(in.Cell), o)
}

type cellDrainIn struct {
	Cell string `path:"c"`
	ReadParams
}

func (s *server) cellDrain(ctx context.Context, in *cellDrainIn) (*api.CellDrain, error) {
	o, err := in.options()
	if err != nil {
		return nil, err
	}
	return s.config.Services.CellDrain(ctx, api.CellID(in.Cell), o)
}
