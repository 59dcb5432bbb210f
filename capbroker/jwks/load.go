package jwks

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
)

// FromFile loads a set from a file. It is read again as a set of an address is fetched again, so that
// whoever renews the file restarts nobody.
func FromFile(path string) Loader {
	return func(context.Context) ([]byte, error) {
		f, err := os.Open(path)
		if err != nil {
			return nil, err
		}
		doc, err := io.ReadAll(io.LimitReader(f, MaxSize+1))
		if end := f.Close(); err == nil {
			err = end
		}
		return doc, err
	}
}

// CheckURL refuses what is not an https address without a name and password in it.
func CheckURL(address string) error {
	u, err := url.Parse(address)
	if err != nil {
		return err
	}
	if u.Scheme != "https" || u.Host == "" || u.User != nil || u.Fragment != "" {
		return fmt.Errorf("%.200q is not an https address of a document", address)
	}
	return nil
}

// FromURL fetches a set over HTTPS from a server whose certificate one of roots signed; nil is the
// roots of this host. It follows no redirect: the keys are where the operator said, or nowhere.
func FromURL(address string, roots *x509.CertPool) (Loader, error) {
	if err := CheckURL(address); err != nil {
		return nil, err
	}
	client := &http.Client{
		Timeout: loadTime,
		Transport: &http.Transport{
			TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
			Proxy:           http.ProxyFromEnvironment, DisableKeepAlives: true, DisableCompression: true,
			TLSHandshakeTimeout: loadTime, ResponseHeaderTimeout: loadTime, MaxResponseHeaderBytes: 64 << 10,
		},
		CheckRedirect: func(r *http.Request, _ []*http.Request) error {
			return fmt.Errorf("the server sends on to %.200q, which is not followed", r.URL.Redacted())
		},
	}
	return func(ctx context.Context) ([]byte, error) {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, address, http.NoBody)
		if err != nil {
			return nil, err
		}
		r.Header.Set("Accept", "application/jwk-set+json, application/json")
		a, err := client.Do(r)
		if err != nil {
			return nil, err
		}
		defer func() { _ = a.Body.Close() }()
		if a.StatusCode != http.StatusOK {
			return nil, fmt.Errorf("%s answers %s", address, a.Status)
		}
		if a.ContentLength > MaxSize {
			return nil, fmt.Errorf("%s has %d bytes: at most %d are taken", address, a.ContentLength, MaxSize)
		}
		doc, err := io.ReadAll(io.LimitReader(a.Body, MaxSize+1))
		if err != nil {
			return nil, fmt.Errorf("%s broke off: %w", address, err)
		}
		return doc, nil
	}, nil
}
