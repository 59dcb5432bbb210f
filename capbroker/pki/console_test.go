package pki

import (
	"strings"
	"testing"
	"time"

	"github.com/grafos/grafos/api"
)

func TestLoginBecomesSession(t *testing.T) {
	m := newTestMaterial(t, "g-1")
	for _, role := range []api.Role{api.RoleOperator, api.RoleTenant, api.RoleViewer} {
		token, err := m.MintLogin("ann", role, 5*time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		login, err := m.VerifyLogin(token, time.Now())
		if err != nil || login.Name != "ann" || login.Role != role || len(login.ID) != 26 {
			t.Fatalf("login %+v, %v", login, err)
		}
		cookie, err := m.MintSession(login, time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		session, err := m.VerifySession(cookie, time.Now())
		if err != nil || session.Name != "ann" || session.Role != role || session.ID == login.ID {
			t.Fatalf("session %+v, %v", session, err)
		}
		if left := time.Until(session.ExpiresAt); left > time.Hour || left < time.Hour-5*time.Second {
			t.Errorf("session has %s left", left)
		}
	}
}

// A token of one audience is none of another, in all nine pairs.
func TestAudiencesAreApart(t *testing.T) {
	m := newTestMaterial(t, "g-1")
	boot, err := m.MintBootstrap(BootstrapClaims{Provider: "aws"})
	if err != nil {
		t.Fatal(err)
	}
	login, err := m.MintLogin("ann", api.RoleOperator, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	session, err := m.MintSession(LoginClaims{Name: "ann", Role: api.RoleOperator}, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	tokens := map[string]string{"bootstrap": boot, "login": login, "session": session}
	verifiers := map[string]func(string) error{
		"bootstrap": func(s string) error { _, err := m.VerifyBootstrap(s, time.Now()); return err },
		"login":     func(s string) error { _, err := m.VerifyLogin(s, time.Now()); return err },
		"session":   func(s string) error { _, err := m.VerifySession(s, time.Now()); return err },
	}
	for made, token := range tokens {
		for wanted, verify := range verifiers {
			if err := verify(token); (err == nil) != (made == wanted) {
				t.Errorf("a %s token as a %s token: %v", made, wanted, err)
			} else if err != nil && !strings.Contains(err.Error(), "is not a "+wanted+" token") {
				t.Errorf("a %s token as a %s token: the error is %q", made, wanted, err)
			}
		}
	}
}

func TestMintLoginRefuses(t *testing.T) {
	m := newTestMaterial(t, "g-1")
	for name, c := range map[string]struct {
		name string
		role api.Role
		ttl  time.Duration
		says string
	}{
		"a cell":       {"ann", api.RoleCell, time.Minute, "role cell does not use the console"},
		"a scheduler":  {"ann", api.RoleScheduler, time.Minute, "role scheduler"},
		"no role":      {"ann", "", time.Minute, "role"},
		"unknown role": {"ann", "root", time.Minute, `"root"`},
		"no name":      {"", api.RoleOperator, time.Minute, "name is empty"},
		"no time":      {"ann", api.RoleOperator, 0, "ttl of a login token is 0s"},
		"negative":     {"ann", api.RoleOperator, -time.Minute, "-1m0s"},
		"too long":     {"ann", api.RoleOperator, 25 * time.Hour, "25h0m0s"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := m.MintLogin(c.name, c.role, c.ttl)
			wantRefusal(t, err, api.InvalidArgument, c.says)
		})
	}
	_, err := m.MintSession(LoginClaims{Name: "ann", Role: api.RoleOperator}, 8*24*time.Hour)
	wantRefusal(t, err, api.InvalidArgument, "ttl of a session token is 192h0m0s")
}

func TestVerifySessionRefuses(t *testing.T) {
	m, twin := newTestMaterial(t, "g-1"), newTestMaterial(t, "g-1")
	ann := LoginClaims{Name: "ann", Role: api.RoleOperator}
	mine, err := m.MintSession(ann, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := twin.MintSession(ann, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	header := map[string]any{"alg": "EdDSA", "typ": "grafos-session+jwt"}
	claims := rawClaims(m)
	claims["aud"], claims["sub"], claims["role"] = "grafos-session", "c1", "cell"
	for name, c := range map[string]struct {
		token string
		now   time.Time
		says  string
	}{
		"garbage":         {"x", time.Now(), "1 parts"},
		"expired":         {mine, time.Now().Add(time.Hour), "session token expired 59m"},
		"another key":     {theirs, time.Now(), "does not verify"},
		"a machine's":     {compact(t, header, claims, m.rawSign), at(), "role cell does not use the console"},
		"from the future": {mine, time.Now().Add(-time.Hour), "in the future"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := m.VerifySession(c.token, c.now)
			wantRefusal(t, err, api.Unauthenticated, c.says)
		})
	}
}
