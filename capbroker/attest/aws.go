package attest

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/grafos/grafos/api"
)

// awsDocument is what is read of an instance identity document.
type awsDocument struct {
	Account  string    `json:"accountId"`
	Instance string    `json:"instanceId"`
	Region   string    `json:"region"`
	Zone     string    `json:"availabilityZone"`
	Image    string    `json:"imageId"`
	Pending  time.Time `json:"pendingTime"`
}

// verifyAWS takes only documents that one of the configured certificates itself signed: AWS publishes
// one for each region, signed by nobody else.
func verifyAWS(text string, roots Roots, now time.Time) (api.Evidence, error) {
	raw, err := unpack(text)
	if err != nil {
		return api.Evidence{}, err
	}
	m, err := open(raw, roots.Certificates, roots.Certificates, now)
	if err != nil {
		return api.Evidence{}, err
	}
	if !configured(m, roots) {
		return api.Evidence{}, errors.New("its signer's certificate is none that is configured")
	}
	var d awsDocument
	if err := json.Unmarshal(m.content, &d); err != nil {
		return api.Evidence{}, fmt.Errorf("it is not an instance identity document: %w", err)
	}
	if d.Region == "" || d.Pending.IsZero() || d.Pending.Sub(now) > ClockTolerance {
		return api.Evidence{}, errors.New("it is not an instance identity document: it says no region, or no time that has been")
	}
	return api.Evidence{
		Kind: api.EvidenceAWS, Account: d.Account, Instance: d.Instance, Region: d.Region, Zone: d.Zone, Image: d.Image, Issued: d.Pending.UTC().Truncate(time.Second),
	}, nil
}

func configured(m *message, roots Roots) bool {
	for _, c := range roots.Certificates {
		if c.Equal(m.signer) {
			return true
		}
	}
	return false
}
