package capbroker

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"strings"
)

// unverifiedAudience reads for which cell a token says that it is, or "". It only serves a
// better refusal: nothing is allowed on its word.
func unverifiedAudience(token string) string {
	parts := strings.Split(token, ".")
	if len(parts) != 4 {
		return ""
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[2])
	if err != nil || len(payload) < ed25519.SignatureSize {
		return ""
	}
	var said struct {
		Audience string `json:"aud"`
	}
	if json.Unmarshal(payload[:len(payload)-ed25519.SignatureSize], &said) != nil {
		return ""
	}
	return said.Audience
}
