package server

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/grafos/grafos/api"
)

// sessionCookie holds the console's session.
const sessionCookie = "grafos_session"

// maxCredential bounds a cookie, a bearer token and a forwarded caller, in bytes.
const maxCredential = 4 << 10

// access says who may use a route. The services narrow further: a tenant sees its own.
type access struct {
	public bool // nobody has to be proved
	roles  []api.Role
	// own: a cell may only name itself in the path's {c}.
	own bool
	// joins: it is where a cell is bound to its key, so that it need not be yet.
	joins bool
}

// The rules that the routes table uses.
func anyone() access    { return access{public: true} }
func operators() access { return access{roles: []api.Role{api.RoleOperator}} }
func owners() access    { return access{roles: []api.Role{api.RoleOperator, api.RoleTenant}} }
func readers() access {
	return access{roles: []api.Role{api.RoleOperator, api.RoleTenant, api.RoleViewer}}
}
func watchers() access { return access{roles: []api.Role{api.RoleOperator, api.RoleViewer}} }
func movers() access {
	return access{roles: []api.Role{api.RoleOperator, api.RoleTenant, api.RoleCell}}
}
func joining() access { return access{roles: []api.Role{api.RoleCell}, joins: true} }
func itself() access  { return access{roles: []api.Role{api.RoleCell}, own: true} }
func members() access { return access{roles: []api.Role{api.RoleScheduler}} }

// inner reports whether only cells and schedulers use the route: they have room of their
// own, so that a flood of users makes no cell unready.
func (a access) inner() bool {
	for _, r := range a.roles {
		if r != api.RoleCell && r != api.RoleScheduler {
			return false
		}
	}
	return !a.public
}

// allow refuses a caller whom the rule leaves out.
func (a access) allow(c api.Caller, r *http.Request) error {
	if a.public {
		return nil
	}
	if !slices.Contains(a.roles, c.Role) {
		return api.Refuse(api.Forbidden, "%s may not do this: it takes the role %s", c.Actor(), a.String())
	}
	if id := r.PathValue("c"); a.own && id != string(c.Cell) {
		return api.Refuse(api.IdentityMismatch, "the path names cell %q and the certificate cell %q", clip(id, api.MaxNameLen), c.Cell)
	}
	return nil
}

// String lists the roles: "operator or tenant".
func (a access) String() string {
	var names []string
	for _, r := range a.roles {
		names = append(names, string(r))
	}
	return strings.Join(names, " or ")
}

// identify returns who asks, and the scheduler that forwarded the request where one did. The
// zero caller is nobody.
func (s *server) identify(r *http.Request) (caller api.Caller, by string, err error) {
	caller, err = s.proved(r)
	if err != nil || r.Header.Get(headForwarded) == "" {
		return caller, "", err
	}
	if caller.Role != api.RoleScheduler {
		return api.Caller{}, "", api.Refuse(api.Forbidden, "%s may not forward a request: only a scheduler may", caller.Actor())
	}
	by = caller.Name
	if caller, err = forwardedCaller(r.Header.Get(headCaller)); err != nil {
		return api.Caller{}, by, err
	}
	if caller.Role == "" {
		return caller, by, nil
	}
	// The other one's state may be older than ours.
	return caller, by, s.config.Auth.Admit(caller)
}

// proved returns whom a certificate, a cookie or a bearer token proves.
func (s *server) proved(r *http.Request) (api.Caller, error) {
	if r.TLS != nil && len(r.TLS.PeerCertificates) > 0 {
		caller, err := certCaller(r.Context(), r.TLS.PeerCertificates[0])
		if err != nil {
			return api.Caller{}, err
		}
		// A connection outlives the handshake that checked this.
		if !caller.NotAfter.IsZero() && time.Now().After(caller.NotAfter) {
			return api.Caller{}, api.Refuse(api.Unauthenticated, "the certificate of %s ran out at %s",
				caller.Actor(), caller.NotAfter.UTC().Format(time.RFC3339))
		}
		return caller, s.config.Auth.Admit(caller)
	}
	token := credential(r)
	if token == "" {
		return api.Caller{}, nil
	}
	if len(token) > maxCredential {
		return api.Caller{}, api.Refuse(api.Unauthenticated, "the credential is longer than %d bytes", maxCredential)
	}
	caller, err := s.config.Auth.Session(token)
	if err != nil {
		return api.Caller{}, err
	}
	// A session looks; whoever wants more has a certificate.
	caller.Role = api.RoleViewer
	return caller, s.config.Auth.Admit(caller)
}

// credential returns the bearer token or the session cookie.
func credential(r *http.Request) string {
	if token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); ok {
		return token
	}
	if c, err := r.Cookie(sessionCookie); err == nil {
		return c.Value
	}
	return ""
}

// nobody is the refusal of a request that proves nobody.
func nobody(r *http.Request) error {
	return api.Refuse(api.Unauthenticated, "%s %s needs a client certificate or a session, and the request has neither",
		r.Method, clip(r.URL.Path, 200)).
		WithHint("give --ca, --cert and --key, or log in to the console")
}

// forwardedCaller reads the caller whom another scheduler has proved.
func forwardedCaller(header string) (api.Caller, error) {
	if len(header) > maxCredential {
		return api.Caller{}, api.Refuse(api.InvalidArgument, "header %s is longer than %d bytes", headCaller, maxCredential)
	}
	b, err := base64.StdEncoding.DecodeString(header)
	if err != nil {
		return api.Caller{}, api.Refuse(api.InvalidArgument, "header %s is not base64: %v", headCaller, err)
	}
	var c api.Caller
	if err := json.Unmarshal(b, &c); err != nil {
		return api.Caller{}, api.Refuse(api.InvalidArgument, "header %s holds no caller: %v", headCaller, err)
	}
	return c, nil
}

// callerHeader is what forwardedCaller reads.
func callerHeader(c api.Caller) (string, error) {
	b, err := json.Marshal(c)
	if err != nil {
		return "", api.Refuse(api.Internal, "encode the caller: %v", err)
	}
	return base64.StdEncoding.EncodeToString(b), nil
}

// turnAway refuses a request that has no route. Whoever proves nothing learns no more than
// that.
func (s *server) turnAway(x *exchange, r *http.Request, err error) {
	if strings.HasPrefix(r.URL.Path, "/api/") || strings.HasPrefix(r.URL.Path, "/peer/") {
		caller, _, idErr := s.identify(r)
		if idErr != nil {
			err = idErr
		} else if caller.Role == "" {
			x.Header().Del("Allow")
			err = nobody(r)
		}
	}
	x.refuse(err)
}
