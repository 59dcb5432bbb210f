package api

import (
	"encoding/base32"
	"fmt"
	"io"
	"strings"
)

// Identifiers are distinct types so that none passes for another.
type (
	// ProviderID names a place that hosts cells: aws, gcp, local.
	ProviderID string
	// CellID names one cell; unique in the whole cluster.
	CellID string
	// TenantID names who pays and who is limited.
	TenantID string
	// LeaseID names one lease, for ever.
	LeaseID string
	// RunID names one execution of a tasklet.
	RunID string
	// NodeID names a scheduler. It is not an address.
	NodeID string
	// Digest is the content address of a blob: "sha256:" and 64 hex digits.
	Digest string
)

// Tick is cluster time in nanoseconds: the last committed tick plus the leader's
// own monotonic time since its barrier. It is never a wall clock and never goes back.
type Tick int64

// MaxNameLen bounds a provider, cell, tenant or node name.
const MaxNameLen = 63

// CheckName refuses what is not a name: 1 to 63 characters of a-z, 0-9, '-', '_' and
// '.', beginning and ending with a letter or a digit. what says which noun is meant.
func CheckName(what, name string) error {
	if name == "" {
		return Refuse(InvalidArgument, "%s is empty", what)
	}
	if len(name) > MaxNameLen {
		return Refuse(InvalidArgument, "%s %q is longer than %d characters", what, name[:MaxNameLen], MaxNameLen)
	}
	for i, r := range name {
		alnum := r >= 'a' && r <= 'z' || r >= '0' && r <= '9'
		inner := i > 0 && i < len(name)-1 && (r == '-' || r == '_' || r == '.')
		if !alnum && !inner {
			return Refuse(InvalidArgument,
				"%s %q has a character %q that a name cannot have there: use a-z, 0-9 and, inside, '-', '_' or '.'", what, name, r)
		}
	}
	return nil
}

// CheckDigest refuses what is not a sha256 content address.
func CheckDigest(d Digest) error {
	const prefix = "sha256:"
	if len(d) != len(prefix)+64 || string(d[:len(prefix)]) != prefix {
		return Refuse(InvalidArgument, "digest %q is not sha256: and 64 hex digits", clip(string(d), 80))
	}
	for _, r := range d[len(prefix):] {
		if (r < '0' || r > '9') && (r < 'a' || r > 'f') {
			return Refuse(InvalidArgument, "digest %q is not sha256: and 64 hex digits", d)
		}
	}
	return nil
}

// DigestOf returns the content address that the 32 bytes of a SHA-256 sum stand for.
func DigestOf(sum [32]byte) Digest { return Digest(fmt.Sprintf("sha256:%x", sum)) }

func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return s[:n] + "..."
}

// NewID makes an identifier behind prefix: 16 characters of base 32, 80 bits of random, so
// that its first few characters tell it from the others. random is crypto/rand's reader,
// which never fails; of one that does, ids come twice and are refused.
func NewID(random io.Reader, prefix string) string {
	var b [10]byte
	_, _ = io.ReadFull(random, b[:])
	return prefix + strings.ToLower(base32.StdEncoding.EncodeToString(b[:]))
}
