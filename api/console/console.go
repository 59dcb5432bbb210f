// Package console is the web console: a bundle built by Vite from the web folder,
// committed in dist and served from the binary under /admin/. It holds no secret and
// asks for none: the page reads /api/v1 with the session cookie of its own origin, and
// without one it says how to log in.
package console

import (
	"bytes"
	"embed"
	"net/http"
	"path"
	"strings"
	"time"
)

// dist is the bundle: index.html, and assets whose names carry a hash of their content.
//
//go:embed all:dist
var dist embed.FS

// prefix is where the console is served. The bundle is built for it.
const prefix = "/admin/"

// home is the first page.
const home = prefix + "stats#infrastructure"

// policy lets the page run its own script and style and talk to its own origin, and
// nothing else: no inline script, no frame, no other host.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"

// Handler serves the console under /admin/. It needs no session. Paths that are neither
// a page nor an asset of the bundle are answered 404, methods but GET and HEAD 405.
func Handler() http.Handler {
	return http.HandlerFunc(serve)
}

func serve(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Security-Policy", policy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	// What is not a file of the bundle may be one of the next version's.
	h.Set("Cache-Control", "no-store")
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		h.Set("Allow", "GET, HEAD")
		http.Error(w, "the console is only read: use GET", http.StatusMethodNotAllowed)
		return
	}
	name, found := strings.CutPrefix(r.URL.Path, prefix)
	switch {
	case r.URL.Path == "/admin", found && name == "":
		http.Redirect(w, r, home, http.StatusFound)
	case found && isPage(name):
		file(w, r, "index.html", "no-store")
	case found && strings.HasPrefix(name, "assets/"):
		file(w, r, name, "public, max-age=31536000, immutable")
	default:
		missing(w)
	}
}

// isPage reports whether name is one of the paths under which the page itself is served.
// Which part of it is shown stands behind the #, and never reaches a server.
func isPage(name string) bool {
	return name == "stats" || strings.HasPrefix(name, "stats/")
}

// file serves one file of the bundle.
func file(w http.ResponseWriter, r *http.Request, name, cache string) {
	body, err := dist.ReadFile("dist/" + name) // refuses what is not a clean path within dist
	kind := contentType(name)
	if err != nil || kind == "" {
		missing(w)
		return
	}
	w.Header().Set("Cache-Control", cache)
	w.Header().Set("Content-Type", kind)
	// An embedded file has no time; its name or no-store says how long it holds.
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(body))
}

func missing(w http.ResponseWriter) {
	http.Error(w, "no such page: the console is at /admin/stats", http.StatusNotFound)
}

// contentType knows what a bundle holds. The host's table of types is not asked: a
// browser that must not sniff needs the right one on every host.
func contentType(name string) string {
	switch path.Ext(name) {
	case ".html":
		return "text/html; charset=utf-8"
	case ".js":
		return "text/javascript; charset=utf-8"
	case ".css":
		return "text/css; charset=utf-8"
	case ".svg":
		return "image/svg+xml"
	case ".woff2":
		return "font/woff2"
	}
	return ""
}
