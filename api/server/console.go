package server

import (
	"net/http"
	"strings"

	"github.com/grafos/grafos/api"
)

// consoleHome is where a login leads.
const consoleHome = "/admin/stats#infrastructure"

// consolePolicy lets the console load what this scheduler serves, and nothing else.
const consolePolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; " +
	"connect-src 'self'; worker-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"

// console serves the built bundle. It holds no data, so it needs no login.
func (s *server) console(x *exchange, r *http.Request) error {
	if s.config.Console == nil {
		return api.Refuse(api.NotFound, "this scheduler has no console")
	}
	h := x.Header()
	h.Set("Content-Security-Policy", consolePolicy)
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cache-Control", "no-cache") // the bundle sets better where a file's name has its hash
	page := &pageWriter{exchange: x}
	s.config.Console.ServeHTTP(page, r)
	switch page.refused {
	case 0:
		return nil
	case http.StatusMethodNotAllowed:
		return noMethod(r, methods{http.MethodGet: nil})
	}
	return noPath(r)
}

// pageWriter swallows the text of a page that does not exist: it is refused as everything
// else is.
type pageWriter struct {
	*exchange
	refused int
}

// WriteHeader keeps a status that refuses to itself.
func (p *pageWriter) WriteHeader(status int) {
	if status >= http.StatusBadRequest {
		p.refused = status
		p.Header().Del("Content-Length")
		return
	}
	p.exchange.WriteHeader(status)
}

// Write drops the body of what is refused.
func (p *pageWriter) Write(b []byte) (int, error) {
	if p.refused != 0 {
		return len(b), nil
	}
	return p.exchange.Write(b)
}

// login trades the one-time token of the link for a session cookie. What only looks at the
// link, a HEAD or a prefetch, does not use it up.
func (s *server) login(x *exchange, r *http.Request) error {
	x.Header().Set("Referrer-Policy", "no-referrer")
	token := r.URL.Query().Get("token")
	if token == "" || len(token) > maxCredential {
		return api.Refuse(api.InvalidArgument, "the login link has no usable token").
			WithHint("make a new one: the console's address is printed with a fresh token")
	}
	if r.Method == http.MethodHead || strings.Contains(r.Header.Get("Sec-Purpose"), "prefetch") {
		x.WriteHeader(http.StatusNoContent)
		return nil
	}
	session, maxAge, err := s.config.Auth.Login(r.Context(), token)
	if err != nil {
		return err
	}
	http.SetCookie(x, &http.Cookie{
		Name: sessionCookie, Value: session, Path: "/", MaxAge: maxAge,
		Secure: true, HttpOnly: true, SameSite: http.SameSiteStrictMode,
	})
	x.Header().Set("Location", consoleHome)
	x.WriteHeader(http.StatusSeeOther)
	return nil
}

// home leads a browser to the console.
func (s *server) home(x *exchange, _ *http.Request) error {
	x.Header().Set("Location", consoleHome)
	x.WriteHeader(http.StatusSeeOther)
	return nil
}
