package pki

import (
	"time"

	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/grafos/grafos/api"
)

// Bounds of the console's tokens.
const (
	// MaxLoginTTL bounds a login link.
	MaxLoginTTL = 24 * time.Hour
	// MaxSessionTTL bounds a session.
	MaxSessionTTL = 7 * 24 * time.Hour
)

// LoginClaims is what a login link or a session proves.
type LoginClaims struct {
	ID        string // jti; a login's is used once, which the replicated state decides
	Name      string
	Role      api.Role // operator, tenant or viewer
	ExpiresAt time.Time
}

// MintLogin signs a one-time login for the console.
func (m *Material) MintLogin(name string, role api.Role, ttl time.Duration) (string, error) {
	return m.mintPerson(audLogin, name, role, ttl, MaxLoginTTL)
}

// VerifyLogin verifies a login, and refuses what is none with unauthenticated and the
// check that failed. That it is used once is not decided here.
func (m *Material) VerifyLogin(token string, now time.Time) (LoginClaims, error) {
	return m.openPerson(audLogin, token, now)
}

// MintSession signs the session that a verified login begins; it has an id of its own.
func (m *Material) MintSession(c LoginClaims, ttl time.Duration) (string, error) {
	return m.mintPerson(audSession, c.Name, c.Role, ttl, MaxSessionTTL)
}

// VerifySession verifies a session, and refuses what is none with unauthenticated and the
// check that failed.
func (m *Material) VerifySession(token string, now time.Time) (LoginClaims, error) {
	return m.openPerson(audSession, token, now)
}

func (m *Material) mintPerson(a audience, name string, role api.Role, ttl, limit time.Duration) (string, error) {
	if err := checkPerson(name, role); err != nil {
		return "", err
	}
	if ttl < time.Second || ttl > limit {
		return "", api.Refuse(api.InvalidArgument, "ttl of a %s is %s: from 1s to %s", a.word(), ttl, limit)
	}
	now := time.Now()
	return m.mint(a, claims{
		Claims: jwt.Claims{
			ID: newTokenID(), Subject: name, IssuedAt: jwt.NewNumericDate(now), Expiry: jwt.NewNumericDate(now.Add(ttl)),
		},
		Role: role,
	})
}

func (m *Material) openPerson(a audience, token string, now time.Time) (LoginClaims, error) {
	c, err := m.open(a, token, now)
	if err == nil {
		err = checkPerson(c.Subject, c.Role)
	}
	if err != nil {
		detail := err.Error()
		if p, ok := api.AsError(err); ok {
			detail = p.Detail
		}
		return LoginClaims{}, api.Refuse(api.Unauthenticated, "%s", detail)
	}
	return LoginClaims{ID: c.ID, Name: c.Subject, Role: c.Role, ExpiresAt: c.Expiry.Time().UTC()}, nil
}

// checkPerson refuses a machine's role: cells and schedulers have certificates only.
func checkPerson(name string, role api.Role) error {
	if err := checkRole(role); err != nil {
		return err
	}
	if isServer(role) {
		return api.Refuse(api.InvalidArgument, "role %s does not use the console", role)
	}
	return api.CheckName("name", name)
}
