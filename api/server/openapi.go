package server

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/grafos/grafos/api"
)

// newAPI returns the huma API that checks requests and describes them.
func newAPI(s *server) huma.API {
	config := huma.DefaultConfig("grafOS", "1")
	config.Info.Description = "A self-hosted, highly available control plane for WebAssembly work. " +
		"Errors are RFC 9457 problem documents with a stable kind."
	config.OpenAPIPath, config.DocsPath, config.SchemasPath = "", "", ""
	config.CreateHooks = nil // no $schema in every answer
	format := huma.Format{Marshal: s.buffers.encode, Unmarshal: decodeJSON}
	config.Formats = map[string]huma.Format{"application/json": format, "json": format} // json is what +json ends in
	config.Components.SecuritySchemes = map[string]*huma.SecurityScheme{
		"certificate": {Type: "mutualTLS", Description: "A client certificate of the cluster's CA, with the role in its SPIFFE id."},
		"session":     {Type: "http", Scheme: "bearer", Description: "A console session: role viewer."},
	}
	config.Security = []map[string][]string{{"certificate": {}}, {"session": {}}}
	relaxSchemas(config.Components.Schemas)
	return huma.NewAPI(config, s.router)
}

// relaxSchemas makes fields optional whose zero says enough. All others that the api does
// not mark as optional have to be there: a quota with a limit left out would be a quota of 0.
func relaxSchemas(r huma.Registry) {
	r.RegisterTypeAlias(reflect.TypeFor[api.Error](), reflect.TypeFor[problem]())
	for t, optional := range map[reflect.Type][]string{
		reflect.TypeFor[api.Resources]():         {"cpu", "mem", "block", "net", "gpu"},
		reflect.TypeFor[api.RevokeCellRequest](): {"grace_ms"},
		reflect.TypeFor[problem]():               {"resource", "limit", "in_use", "asked"},
	} {
		relax(r.Schema(t, false, ""), optional)
	}
	kind := r.Schema(reflect.TypeFor[problem](), false, "").Properties["kind"]
	for _, k := range api.Kinds() {
		kind.Enum = append(kind.Enum, string(k))
	}
	kind.PrecomputeMessages()
}

func relax(s *huma.Schema, optional []string) {
	var required []string
	for _, name := range s.Required {
		if !slices.Contains(optional, name) {
			required = append(required, name)
		}
	}
	s.Required = required
	s.PrecomputeMessages()
}

// finishOpenAPI adds the problem to the operations that huma did not register, and renders
// the document.
func finishOpenAPI(o *huma.OpenAPI) ([]byte, error) {
	schema := &huma.Schema{Ref: "#/components/schemas/Problem"}
	for _, item := range o.Paths {
		for _, op := range []*huma.Operation{item.Get, item.Post, item.Put, item.Delete, item.Head} {
			if op == nil || op.Responses["default"] != nil {
				continue
			}
			op.Responses["default"] = &huma.Response{
				Description: "Error", Content: map[string]*huma.MediaType{problemType: {Schema: schema}},
			}
		}
	}
	b, err := json.Marshal(o)
	if err != nil {
		return nil, err
	}
	return append(b, '\n'), nil
}

// tagOf groups operations: /api/v1/leases/{id} is leases.
func tagOf(path string) string {
	for _, base := range []string{"/api/v1/", "/peer/v1/"} {
		if rest, ok := strings.CutPrefix(path, base); ok {
			name, _, _ := strings.Cut(rest, "/")
			name, _, _ = strings.Cut(name, ":")
			if base == "/peer/v1/" {
				return "peer"
			}
			return name
		}
	}
	return "node"
}

// pathParams describes the parameters that stand in a path.
func pathParams(path string) []*huma.Param {
	var params []*huma.Param
	for part := range strings.SplitSeq(path, "{") {
		if name, _, ok := strings.Cut(part, "}"); ok {
			params = append(params, &huma.Param{Name: name, In: "path", Required: true, Schema: &huma.Schema{Type: huma.TypeString}})
		}
	}
	return params
}

func queryParam(name, kind, doc string) *huma.Param {
	return &huma.Param{Name: name, In: "query", Description: doc, Schema: &huma.Schema{Type: kind}}
}

// decodeJSON decodes a body. Its errors are sentences for whoever wrote the body.
func decodeJSON(data []byte, v any) error {
	err := json.Unmarshal(data, v)
	if e, ok := errors.AsType[*json.SyntaxError](err); ok {
		line, column := position(data, e.Offset)
		return fmt.Errorf("it is not JSON at line %d, column %d: %s", line, column, e.Error())
	}
	if e, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		return fmt.Errorf("%s cannot be %s: it must be %s", fieldOf(e), e.Value, kindOf(e.Type))
	}
	return err
}

func position(data []byte, offset int64) (line, column int) {
	before := data[:min(max(offset, 0), int64(len(data)))]
	return bytes.Count(before, []byte("\n")) + 1, len(before) - bytes.LastIndexByte(before, '\n') - 1
}

func fieldOf(e *json.UnmarshalTypeError) string {
	if e.Field == "" {
		return "the body"
	}
	return e.Field
}

func kindOf(t reflect.Type) string {
	switch t.Kind() { //nolint:exhaustive // the others say enough
	case reflect.Int, reflect.Int64:
		return "a whole number of 64 bits"
	case reflect.Uint, reflect.Uint64:
		return "a whole number of 64 bits, not negative"
	case reflect.Struct, reflect.Map:
		return "an object"
	case reflect.Slice:
		return "a list"
	}
	return "a " + t.Kind().String()
}
