package ui

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strings"

	"github.com/cli/go-gh/v2/pkg/jq"
	"github.com/cli/go-gh/v2/pkg/jsonpretty"
	"github.com/cli/go-gh/v2/pkg/template"

	"github.com/grafos/grafos/api"
)

// Format is how an answer is written.
type Format string

// The formats. Table is a table on a terminal and TSV in a pipe; JSON is indented on a
// terminal and one line in a pipe; JSONL is always one line a document.
const (
	FormatTable Format = "table"
	FormatWide  Format = "wide"
	FormatJSON  Format = "json"
	FormatJSONL Format = "jsonl"
	FormatName  Format = "name"
)

// Output is what the flags -o, --json, --jq and --template ask for.
type Output struct {
	Format   Format
	JQ       string
	Template string
}

// Machine reports whether a program reads the answer.
func (o Output) Machine() bool {
	return o.Format == FormatJSON || o.Format == FormatJSONL || o.JQ != "" || o.Template != ""
}

// Check refuses an unknown format, and an expression or template that does not parse,
// before anything is asked of the cluster.
func (o Output) Check() error {
	switch o.Format {
	case FormatTable, FormatWide, FormatJSON, FormatJSONL, FormatName:
	default:
		return api.Refuse(api.InvalidArgument, "output %q is not one of table, wide, json, jsonl, name", o.Format)
	}
	if o.JQ != "" && o.Template != "" {
		return api.Refuse(api.InvalidArgument, "--jq and --template exclude each other")
	}
	if o.JQ != "" {
		if err := jq.Evaluate(noInput{}, io.Discard, o.JQ); !errors.Is(err, errNoInput) {
			return api.Refuse(api.InvalidArgument, "--jq: %v", err)
		}
	}
	if o.Template != "" {
		if err := template.New(io.Discard, defaultWidth, false).Parse(o.Template); err != nil {
			return api.Refuse(api.InvalidArgument, "--template: %v", err)
		}
	}
	return nil
}

// write writes one document. oneLine forces what a stream needs: a document a line.
func (o Output) write(s IO, doc any, oneLine bool) error {
	var raw bytes.Buffer
	enc := json.NewEncoder(&raw)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(doc); err != nil {
		return api.Refuse(api.Internal, "encode the answer: %v", err)
	}
	pretty := s.OutTerminal && !oneLine && o.Format != FormatJSONL
	switch {
	case o.JQ != "":
		return o.writeJQ(s, &raw, pretty)
	case o.Template != "":
		return o.writeTemplate(s, &raw)
	case pretty:
		return jsonpretty.Format(s.Out, &raw, "  ", s.Color)
	}
	_, err := s.Out.Write(raw.Bytes())
	return err
}

func (o Output) writeJQ(s IO, raw io.Reader, pretty bool) error {
	indent := ""
	if pretty {
		indent = "  "
	}
	if err := jq.EvaluateFormatted(raw, s.Out, o.JQ, indent, s.Color && pretty); err != nil {
		return api.Refuse(api.InvalidArgument, "--jq: %v", err)
	}
	return nil
}

func (o Output) writeTemplate(s IO, raw io.Reader) error {
	t := template.New(s.Out, s.Width, s.Color)
	if err := t.Parse(o.Template); err != nil {
		return api.Refuse(api.InvalidArgument, "--template: %v", err)
	}
	err := t.Execute(raw)
	if err == nil {
		err = t.Flush()
	}
	if err != nil {
		return api.Refuse(api.InvalidArgument, "--template: %v", err)
	}
	return nil
}

// noInput fails every read: an expression that reaches its input has parsed.
type noInput struct{}

func (noInput) Read([]byte) (int, error) { return 0, errNoInput }

const errNoInput = inputError("no input")

type inputError string

func (e inputError) Error() string { return string(e) }

// FormatOf finds the format that args ask for without parsing them: a command line that
// does not parse must still fail in the form that its caller reads.
func FormatOf(args []string) Format {
	format := FormatTable
	for i, arg := range args {
		name, value, _ := strings.Cut(arg, "=")
		switch {
		case arg == "--":
			return format
		case format == FormatJSON:
		case name == "--json" && value != "false", name == "--jq", name == "--template":
			return FormatJSON
		case (arg == "-o" || arg == "--output") && i+1 < len(args):
			format = Format(args[i+1])
		case name == "-o", name == "--output":
			format = Format(value)
		case strings.HasPrefix(arg, "-o"):
			format = Format(arg[len("-o"):])
		}
	}
	return format
}
