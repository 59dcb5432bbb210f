package ui

import (
	"bytes"
	"os"
	"time"

	"github.com/grafos/grafos/api"
)

// Connection says where the cluster is and who asks.
type Connection struct {
	// URLs are the schedulers; any of them takes any request.
	URLs []string
	// ClusterID is checked against every server's certificate; "" is not checked.
	ClusterID string
	// CAFile is the cluster's CA certificate in PEM.
	CAFile string
	// CertFile and KeyFile are the caller's certificate and key; both or neither.
	CertFile string
	KeyFile  string
	// TokenFile holds a bearer token; "" is none.
	TokenFile string
	// Tenant is whom an operator acts for where --tenant is not given; "" is nobody.
	Tenant api.TenantID
	// Origin names the source of URLs, for messages: "--fabric", "GRAFOS_FABRIC", a file.
	Origin string
	// Timeout is the explicit --timeout; 0 leaves the client's default.
	Timeout time.Duration
	// Waiting is told what a call waits for.
	Waiting func(why error)
}

// maxTokenFile bounds a bearer token's file, in bytes.
const maxTokenFile = 16 << 10

// Token reads the bearer token anew, so that a rotated file is seen; "" when there is none.
func (c Connection) Token() (string, error) {
	if c.TokenFile == "" {
		return "", nil
	}
	text, err := ReadBounded(c.TokenFile, maxTokenFile)
	if err != nil {
		return "", err
	}
	return string(bytes.TrimSpace(text)), nil
}

// ReadBounded reads a file that the caller named. What is missing, unreadable or longer
// than limit bytes is refused with the path.
func ReadBounded(path string, limit int64) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, api.Refuse(api.InvalidArgument, "%v", err)
	}
	if info.IsDir() {
		return nil, api.Refuse(api.InvalidArgument, "%s is a directory, not a file", path)
	}
	if info.Size() > limit {
		return nil, api.Refuse(api.TooLarge, "%s has %s; at most %s are read", path, api.FormatSize(info.Size()), api.FormatSize(limit))
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, api.Refuse(api.InvalidArgument, "%v", err)
	}
	if int64(len(text)) > limit {
		return nil, api.Refuse(api.TooLarge, "%s has more than %s", path, api.FormatSize(limit))
	}
	return text, nil
}
