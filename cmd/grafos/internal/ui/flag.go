package ui

import (
	"errors"
	"strconv"

	"github.com/spf13/pflag"

	"github.com/grafos/grafos/api"
)

// BadValue is what was wrong with a value that a flag does not take; source is where it stood: the flag,
// or a variable of the environment. The library's own words are about the calls that it made.
func BadValue(source, value string, flag pflag.Value, err error) *api.Error {
	if p, ok := api.AsError(err); ok {
		refusal := api.Refuse(api.InvalidArgument, "%s: %s", source, p.Detail)
		refusal.Hint = p.Hint
		return refusal
	}
	must := ""
	switch flag.Type() {
	case "int", "int64":
		must = "a whole number"
		if errors.Is(err, strconv.ErrRange) {
			must = "a whole number of 64 bits"
		}
	case "bool":
		must = "true or false"
	case "duration":
		must = "a duration such as 500ms, 30s or 5m"
	default:
		return api.Refuse(api.InvalidArgument, "%s is %q: %v", source, Clean(value), err)
	}
	return api.Refuse(api.InvalidArgument, "%s is %q: it must be %s", source, Clean(value), must)
}
