package cellagent

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"path/filepath"

	"github.com/hashicorp/go-hclog"

	"github.com/grafos/grafos/api"
)

// Config says which cell this is, where its schedulers are, and what of the host it may use.
type Config struct {
	// Provider, CellID and ClusterID are what the cell's certificate says.
	Provider  api.ProviderID
	CellID    api.CellID
	ClusterID string
	// Dir is the agent's own directory, absolute: blocks, modules, compiled code. Two agents
	// never share one.
	Dir string
	// Schedulers are API addresses, https://host:port, at least one. More are learned.
	Schedulers []string
	// Credential returns the cell's certificate; it is asked for every connection, so that a
	// renewed one needs no restart. Roots is what schedulers must chain to.
	Credential func() (*tls.Certificate, error)
	Roots      *x509.CertPool
	// Identity renews that certificate; nil is that nobody does.
	Identity Identity
	// DataBind is where the data plane listens, host:port; DataAdvertise is what holders of
	// leases are told, empty for the address that it listens on.
	DataBind, DataAdvertise string
	// Offer is what the cell has in place of what its host has.
	Offer Offer
	// Reserve is kept for the host and the agent's own workers.
	Reserve api.Resources
	// BlockBytes is what block leases may take in all; 0 is half of what is free on the disk
	// of Dir at the start.
	BlockBytes int64
	// Place of the cell.
	Zone, Rack string
	Labels     map[string]string
	// Version is the agent's.
	Version string
	// Exe is the program of a tasklet worker; empty is the running one. Args make it one;
	// empty is {"tasklet-worker"}.
	Exe  string
	Args []string
	// TestFaults has bindings fail on purpose (binding.ParseFaults); a cell that is not there to be
	// tested has none.
	TestFaults string
	Log        hclog.Logger
}

// FaultsLabel is the label of a cell that fails on purpose; it says how.
const FaultsLabel = "grafos-test-faults"

// maxLabels bounds the labels of a cell, maxLabel the bytes of one.
const (
	maxLabels = 64
	maxLabel  = 256
)

// Validate names the field that cannot be.
func (c Config) Validate() error {
	if err := api.CheckName("provider", string(c.Provider)); err != nil {
		return err
	}
	if err := api.CheckName("cell id", string(c.CellID)); err != nil {
		return err
	}
	switch {
	case c.ClusterID == "":
		return errors.New("cluster id is empty: it stands in the cell's certificate")
	case !filepath.IsAbs(c.Dir):
		return fmt.Errorf("directory %q is not an absolute path", c.Dir)
	case len(c.Schedulers) == 0:
		return errors.New("no scheduler address is given: one is needed for the first contact")
	case c.Credential == nil || c.Roots == nil:
		return errors.New("credential and roots are needed: a cell proves who it is and checks its schedulers")
	case c.Log == nil:
		return errors.New("log is nil")
	case c.BlockBytes < 0 || c.Reserve.Floor() != c.Reserve:
		return fmt.Errorf("block bytes %d and reserve %+v cannot be negative", c.BlockBytes, c.Reserve)
	}
	if err := c.Offer.validate(); err != nil {
		return err
	}
	return c.validateAround()
}

func (c Config) validateAround() error {
	if _, _, err := net.SplitHostPort(c.DataBind); err != nil {
		return fmt.Errorf("data bind address %q: %w", c.DataBind, err)
	}
	if c.DataAdvertise != "" {
		host, _, err := net.SplitHostPort(c.DataAdvertise)
		if err != nil {
			return fmt.Errorf("data advertise address %q: %w", c.DataAdvertise, err)
		}
		if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
			return fmt.Errorf("data advertise address %q names no host that others can reach", c.DataAdvertise)
		}
	}
	if len(c.Labels) > maxLabels {
		return fmt.Errorf("%d labels are given: at most %d", len(c.Labels), maxLabels)
	}
	for k, v := range c.Labels {
		if k == "" || len(k)+len(v) > maxLabel {
			return fmt.Errorf("label %q is empty or longer than %d bytes", clip(k), maxLabel)
		}
	}
	return nil
}
