package main

import (
	"github.com/hashicorp/go-hclog"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/api/client"
	"github.com/grafos/grafos/cmd/grafos/cli"
	"github.com/grafos/grafos/cmd/grafos/internal/ui"
)

// connect opens the services of the cluster that a connection names.
func connect(c ui.Connection) (cli.Services, error) {
	conf, err := c.TLS(api.RoleScheduler)
	if err != nil {
		return nil, err
	}
	return client.New(client.Config{URLs: c.URLs, TLS: conf, Token: c.Token, Timeout: c.Timeout, Waiting: c.Waiting, Log: hclog.NewNullLogger()})
}
