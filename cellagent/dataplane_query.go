package cellagent

import (
	"net/http"
	"net/url"
	"strconv"

	"github.com/grafos/grafos/api"
)

// queryKnown is what a request may say behind a lease's path: the range and sync, and what a coordinate says of
// its lease (api.CPUTier, api.GPUTerms), which stays when a client adds a range to it.
func queryKnown(name string) bool {
	switch name {
	case "offset", "length", "sync", "cpu", "gpu", "class", "share":
		return true
	}
	return false
}

// queryOf reads the query of a request. What is given twice, or means nothing here, is refused, as it is through a
// scheduler: which bytes were meant would be a guess.
func queryOf(r *http.Request) (url.Values, error) {
	q, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, api.Refuse(api.InvalidArgument, "%s", clip("the query cannot be read: "+err.Error()))
	}
	for name, values := range q {
		switch {
		case !queryKnown(name):
			return nil, badQuery(name, "unknown query parameter")
		case len(values) > 1:
			return nil, badQuery(name, "query parameter given more than once")
		}
	}
	return q, nil
}

// badQuery is said in the words in which schedulers say it.
func badQuery(name, what string) error {
	const most = 64
	at := "query." + name[:min(len(name), most)]
	e := api.Refuse(api.InvalidArgument, "the request is not valid: %s: %s", at, what).
		WithHint("the bytes of a lease are asked for with offset, length and sync, each once")
	e.Errors = []api.FieldError{{Location: at, Message: what}}
	return e
}

func queryInt(q url.Values, name string, or int64) (int64, error) {
	raw := q.Get(name)
	if raw == "" {
		return or, nil
	}
	n, err := strconv.ParseInt(raw, 10, 64)
	if err != nil || n < 0 {
		return 0, api.Refuse(api.InvalidArgument, "%s is not a whole number of bytes", name)
	}
	return n, nil
}
