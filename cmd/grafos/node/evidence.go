package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/capbroker/attest"
	"github.com/grafos/grafos/cmd/grafos/internal/ui"
)

// metadataURL is where every cloud's metadata service is, as the host sees it.
const metadataURL = "http://169.254.169.254"

// metadataTime bounds one request to it: a host of no cloud has nobody there.
const metadataTime = 5 * time.Second

// evidenceOf brings the document that --evidence asks for: KIND, from the metadata service at an
// address, or KIND:FILE.
func evidenceOf(ctx context.Context, what, metadata string, b attest.Binding) (*api.EvidenceDocument, error) {
	if what == "" {
		return nil, nil //nolint:nilnil // none was asked for
	}
	name, file, fromFile := strings.Cut(what, ":")
	d := &api.EvidenceDocument{Kind: api.EvidenceKind(name)}
	var read func(context.Context, metadataService) (string, error)
	switch d.Kind {
	case api.EvidenceAWS:
		read = awsDocument
	case api.EvidenceGCP:
		read = func(ctx context.Context, m metadataService) (string, error) { return gcpToken(ctx, m, b) }
	case api.EvidenceAzure:
		read = func(ctx context.Context, m metadataService) (string, error) { return azureData(ctx, m, b) }
	default:
		return nil, api.Refuse(api.InvalidArgument, "--evidence is %q: it is one of aws, gcp, azure, or one of them with a file", ui.Clean(what)).
			WithHint("--evidence aws asks the metadata service of this host, --evidence aws:FILE reads what it answered")
	}
	if fromFile {
		doc, err := ui.ReadBounded(file, api.MaxEvidence)
		d.Document = string(doc)
		return d, err
	}
	if metadata == "" {
		metadata = metadataURL
	}
	m := metadataService{base: strings.TrimSuffix(metadata, "/"), client: &http.Client{
		Timeout: metadataTime, Transport: &http.Transport{DisableKeepAlives: true}, // no proxy stands between
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
	doc, err := read(ctx, m)
	if err != nil {
		return nil, api.Refuse(api.InvalidArgument, "the metadata service of %s at %s: %v", d.Kind, m.base, err).
			WithHint("run it on an instance of that cloud, or give a document that was got there: --evidence %s:FILE", d.Kind)
	}
	d.Document = doc
	return d, nil
}

// metadataService answers a host about itself.
type metadataService struct {
	base   string
	client *http.Client
}

func (m metadataService) ask(ctx context.Context, method, path string, head ...string) (string, error) {
	r, err := http.NewRequestWithContext(ctx, method, m.base+path, http.NoBody)
	if err != nil {
		return "", err
	}
	for n := 0; n+1 < len(head); n += 2 {
		r.Header.Set(head[n], head[n+1])
	}
	a, err := m.client.Do(r)
	if err != nil {
		return "", err
	}
	defer func() { _ = a.Body.Close() }()
	b, err := io.ReadAll(io.LimitReader(a.Body, api.MaxEvidence+1))
	switch {
	case err != nil:
		return "", err
	case a.StatusCode != http.StatusOK:
		return "", fmt.Errorf("%s %s is answered %s", method, path, a.Status)
	case len(b) > api.MaxEvidence:
		return "", fmt.Errorf("%s %s is answered with more than %s", method, path, api.FormatSize(api.MaxEvidence))
	case len(b) == 0:
		return "", errors.New("it answers with nothing")
	}
	return string(b), nil
}

// awsDocument asks as IMDSv2 wants it: first for a token.
func awsDocument(ctx context.Context, m metadataService) (string, error) {
	token, err := m.ask(ctx, http.MethodPut, "/latest/api/token", "X-aws-ec2-metadata-token-ttl-seconds", "60")
	if err != nil {
		return "", err
	}
	return m.ask(ctx, http.MethodGet, "/latest/dynamic/instance-identity/rsa2048", "X-aws-ec2-metadata-token", token)
}

func gcpToken(ctx context.Context, m metadataService, b attest.Binding) (string, error) {
	q := url.Values{"audience": {b.Audience()}, "format": {"full"}}
	return m.ask(ctx, http.MethodGet, "/computeMetadata/v1/instance/service-accounts/default/identity?"+q.Encode(), "Metadata-Flavor", "Google")
}

func azureData(ctx context.Context, m metadataService, b attest.Binding) (string, error) {
	q := url.Values{"api-version": {"2021-02-01"}, "nonce": {b.Nonce()}}
	return m.ask(ctx, http.MethodGet, "/metadata/attested/document?"+q.Encode(), "Metadata", "true")
}
