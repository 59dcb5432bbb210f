package ui

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"time"

	"github.com/grafos/grafos/api"
)

// DecodeJSON reads a JSON document that stood in the file of that name into v. Faults are
// invalid_argument, in words about the document.
func DecodeJSON(name string, text []byte, v any) error {
	if err := json.Unmarshal(text, v); err != nil {
		return api.Refuse(api.InvalidArgument, "%s: %s", name, jsonFault(err))
	}
	return nil
}

func jsonFault(err error) string {
	if e, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		what := e.Field
		if what == "" {
			what = "the document"
		}
		return fmt.Sprintf("%s is JSON of another type, %s: it must be %s", what, e.Value, jsonType(e.Type))
	}
	if e, ok := errors.AsType[*json.SyntaxError](err); ok {
		return fmt.Sprintf("it is not JSON, or was cut off, at byte %d", e.Offset)
	}
	if e, ok := errors.AsType[*time.ParseError](err); ok {
		return e.Value + " is not a time such as 2026-01-31T12:00:00Z"
	}
	return err.Error()
}

func jsonType(t reflect.Type) string {
	switch t.Kind() { //nolint:exhaustive // the others do not occur in files
	case reflect.String:
		return "a string"
	case reflect.Bool:
		return "true or false"
	case reflect.Slice, reflect.Array:
		return "a list"
	case reflect.Struct, reflect.Map:
		return "an object"
	}
	return "a whole number"
}
