package ui

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"strings"

	"github.com/pelletier/go-toml/v2"

	"github.com/grafos/grafos/api"
)

// DecodeTOML reads a TOML file strictly into v: an unknown key is refused with its line
// and what was probably meant. name is the file, for the message. Faults are
// invalid_argument.
func DecodeTOML(name string, text []byte, v any) error {
	err := toml.NewDecoder(bytes.NewReader(text)).DisallowUnknownFields().Decode(v)
	if err == nil {
		return nil
	}
	if missing, ok := errors.AsType[*toml.StrictMissingError](err); ok {
		return unknownKeys(name, missing, reflect.TypeOf(v))
	}
	if at, ok := errors.AsType[*toml.DecodeError](err); ok {
		row, col := at.Position()
		return api.Refuse(api.InvalidArgument, "%s:%d:%d: %s", name, row, col, tomlFault(at))
	}
	return api.Refuse(api.InvalidArgument, "%s: %v", name, err)
}

// tomlMismatch is how the library says that a value is of another type than its field.
var tomlMismatch = regexp.MustCompile(`^cannot decode TOML ([a-z ]+) into .* of type (\S+)$`)

// tomlFault is a fault in words about the file, not about the program that reads it.
func tomlFault(at *toml.DecodeError) string {
	text := strings.TrimPrefix(at.Error(), "toml: ")
	m := tomlMismatch.FindStringSubmatch(text)
	if m == nil {
		return strings.TrimSuffix(text, " ("+string(api.InvalidArgument)+")") // what a field said of its text
	}
	must := "of another type"
	switch goType := m[2]; {
	case strings.HasPrefix(goType, "[]"):
		must = "a list"
	case strings.HasPrefix(goType, "int"):
		must = "a whole number"
	case strings.HasPrefix(goType, "map"):
		must = "a table"
	case goType == "bool":
		must = "true or false"
	case goType == "string":
		must = "a text in quotes"
	}
	return fmt.Sprintf("%s is a TOML %s: it must be %s", strings.Join(at.Key(), "."), m[1], must)
}

func unknownKeys(name string, missing *toml.StrictMissingError, t reflect.Type) error {
	faults := make([]api.FieldError, 0, len(missing.Errors))
	for i := range missing.Errors {
		e := &missing.Errors[i]
		row, col := e.Position()
		key := e.Key()
		word := key[len(key)-1]
		message := fmt.Sprintf("unknown key %q", word)
		known := tomlKeys(t, key[:len(key)-1])
		if near := Closest(word, known); near != "" {
			message += fmt.Sprintf(": did you mean %q?", near)
		} else if len(known) > 0 {
			message += ": known are " + strings.Join(known, ", ")
		}
		faults = append(faults, api.FieldError{Location: fmt.Sprintf("%s:%d:%d", name, row, col), Message: message})
	}
	problem := api.Refuse(api.InvalidArgument, "%s: %s", faults[0].Location, faults[0].Message)
	problem.Errors = faults[1:]
	return problem
}

// tomlKeys lists the keys that the table at path of a type takes, but for those tagged help:"-".
func tomlKeys(t reflect.Type, path []string) []string {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice || t.Kind() == reflect.Map {
		if t.Kind() == reflect.Map && len(path) > 0 {
			path = path[1:]
		}
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct {
		return nil
	}
	var keys []string
	for field := range t.Fields() {
		if field.Anonymous {
			keys = append(keys, tomlKeys(field.Type, nil)...) // its keys stand in the same table
			continue
		}
		key, _, _ := strings.Cut(field.Tag.Get("toml"), ",")
		if key == "" || key == "-" || field.Tag.Get("help") == "-" {
			continue
		}
		if len(path) > 0 && key == path[0] {
			return tomlKeys(field.Type, path[1:])
		}
		keys = append(keys, key)
	}
	if len(path) > 0 {
		return nil
	}
	return keys
}
