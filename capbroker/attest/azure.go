package attest

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/grafos/grafos/api"
)

// azureAnswer is what the metadata service answers.
type azureAnswer struct {
	Encoding  string `json:"encoding"`
	Signature string `json:"signature"`
}

// azureData is what is read of the attested data.
type azureData struct {
	Nonce        string `json:"nonce"`
	VM           string `json:"vmId"`
	Subscription string `json:"subscriptionId"`
	SKU          string `json:"sku"`
	Time         struct {
		Created string `json:"createdOn"`
		Expires string `json:"expiresOn"`
	} `json:"timeStamp"`
}

// azureTime is how Azure writes times.
const azureTime = "01/02/06 15:04:05 -0700"

// verifyAzure takes attested data of a signer that chains to a configured authority and is the metadata
// service: the authorities sign for many others too.
func verifyAzure(text string, roots Roots, b Binding, now time.Time) (api.Evidence, error) {
	var a azureAnswer
	if err := json.Unmarshal([]byte(text), &a); err != nil {
		return api.Evidence{}, fmt.Errorf("it is not the answer of /metadata/attested/document: %w", err)
	}
	if a.Encoding != "pkcs7" {
		return api.Evidence{}, fmt.Errorf("its encoding is %.40q: it must be pkcs7", a.Encoding)
	}
	raw, err := unpack(a.Signature)
	if err != nil {
		return api.Evidence{}, err
	}
	m, err := open(raw, nil, roots.Certificates, now)
	if err != nil {
		return api.Evidence{}, err
	}
	if !metadataService(m) {
		return api.Evidence{}, fmt.Errorf("its signer is %.100q, which is not Azure's metadata service", m.signer.Subject.CommonName)
	}
	var d azureData
	if err := json.Unmarshal(m.content, &d); err != nil {
		return api.Evidence{}, fmt.Errorf("it is not attested data: %w", err)
	}
	created, err := d.times(now)
	if err != nil {
		return api.Evidence{}, err
	}
	if want := b.Nonce(); d.Nonce != want {
		return api.Evidence{}, &UnboundError{What: "nonce", Got: d.Nonce, Want: want}
	}
	return api.Evidence{Kind: api.EvidenceAzure, Account: d.Subscription, Instance: d.VM, Image: d.SKU, Issued: created.UTC()}, nil
}

func (d azureData) times(now time.Time) (created time.Time, err error) {
	created, err = time.Parse(azureTime, d.Time.Created)
	if err != nil {
		return created, errors.New("it does not say when it was made")
	}
	expires, err := time.Parse(azureTime, d.Time.Expires)
	if err != nil {
		return created, errors.New("it does not say when it ends")
	}
	if !now.Before(expires) {
		return created, fmt.Errorf("it expired %s ago", now.Sub(expires).Truncate(time.Second))
	}
	if ahead := created.Sub(now); ahead > ClockTolerance {
		return created, fmt.Errorf("it was made %s in the future: compare the clocks", ahead.Truncate(time.Second))
	}
	return created, nil
}

// metadataService reports whether the signer's certificate names the service, of any Azure cloud and
// any region of it.
func metadataService(m *message) bool {
	names := m.signer.DNSNames
	if len(names) == 0 {
		names = []string{m.signer.Subject.CommonName}
	}
	return slices.ContainsFunc(names, func(name string) bool { return isMetadataService(strings.ToLower(name)) })
}

func isMetadataService(name string) bool {
	for _, service := range []string{"metadata.azure.com", "metadata.azure.us", "metadata.azure.cn"} {
		if name == service || strings.HasSuffix(name, "."+service) {
			return true
		}
	}
	return false
}
