package server

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"

	"github.com/grafos/grafos/api"
)

// onceEach refuses a query that has a parameter twice, or that cannot be read: what was meant
// would be for us to guess. One alone is a list.
func onceEach(r *http.Request) error {
	if !strings.ContainsAny(r.URL.RawQuery, "&;%") {
		return nil
	}
	q, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return api.Refuse(api.InvalidArgument, "the query cannot be read: %v", err)
	}
	for name, values := range q {
		if len(values) > 1 && name != paramTypes {
			return twice("query."+clip(name, 64), "query parameter")
		}
	}
	return nil
}

// paramTypes are the types of events that are asked for.
const paramTypes = "types"

func twice(location, what string) error {
	e := api.Refuse(api.InvalidArgument, "the request is not valid: %s: %s given more than once", location, what)
	e.Errors = []api.FieldError{{Location: location, Message: what + " given more than once"}}
	return e
}

// uniqueNames refuses a JSON document in which an object has a name twice: encoding/json takes
// the last one, and others the first. What is no JSON is for who reads it to say. The short way
// of the hot routes leaves such a document to the others.
func uniqueNames(body []byte) error {
	if bytes.Count(body, []byte(":")) < 2 {
		return nil
	}
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	var open []names
	for t, err := d.Token(); err == nil; t, err = d.Token() {
		n := len(open) - 1
		delim, isDelim := t.(json.Delim)
		switch {
		case delim == '{' || delim == '[':
			if n >= 0 {
				open[n].value()
			}
			open = append(open, names{object: delim == '{'})
		case isDelim:
			open = open[:n]
		case n >= 0 && open[n].name(t):
			return twice(whereIn(open), "property")
		}
	}
	return nil
}

// names are those that an object has so far; a list has none.
type names struct {
	object, inside bool // inside: what comes next is the value of the newest
	seen           map[string]bool
	newest         string
}

// name takes the next part of an object, and reports whether it is a name that it has already.
func (o *names) name(t json.Token) bool {
	text, isText := t.(string)
	if !o.object || o.inside || !isText {
		o.value()
		return false
	}
	if o.seen == nil {
		o.seen = map[string]bool{}
	}
	repeated := o.seen[text]
	o.seen[text], o.newest, o.inside = true, text, true
	return repeated
}

func (o *names) value() { o.inside = false }

// whereIn says where in a document the newest name is.
func whereIn(open []names) string {
	var b strings.Builder
	b.WriteString("body")
	for _, o := range open {
		if o.object {
			b.WriteString("." + clip(o.newest, 64))
		}
	}
	return clip(b.String(), 256)
}
