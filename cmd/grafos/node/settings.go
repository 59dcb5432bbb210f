package node

import (
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/grafos/grafos/api"
	"github.com/grafos/grafos/cmd/grafos/internal/ui"
)

// maxConfig bounds a configuration file in bytes.
const maxConfig = 1 << 20

// settings fills the struct that cmd's flags are bound to, from a TOML file and the
// environment, without touching what a flag said: defaults < file < environment < flags.
// The variable of --data-dir is PREFIX_DATA_DIR.
func settings(cmd *cobra.Command, file, prefix string, into any) error {
	said := map[string]string{}
	cmd.LocalNonPersistentFlags().Visit(func(f *pflag.Flag) { said[f.Name] = text(f.Value) })
	if file != "" {
		b, err := ui.ReadBounded(file, maxConfig)
		if err != nil {
			return err
		}
		if err := ui.DecodeTOML(file, b, into); err != nil {
			return err
		}
	}
	var fault error
	cmd.LocalNonPersistentFlags().VisitAll(func(f *pflag.Flag) {
		value, have := said[f.Name]
		source := "--" + f.Name
		if !have {
			source = prefix + "_" + strings.ToUpper(strings.ReplaceAll(f.Name, "-", "_"))
			value, have = os.LookupEnv(source)
		}
		if !have || fault != nil {
			return
		}
		if err := set(f.Value, value); err != nil {
			fault = api.Refuse(api.InvalidArgument, "%s is %q: %v", source, value, err)
		}
	})
	return fault
}

// text is a flag's value in the form that set takes.
func text(v pflag.Value) string {
	if s, ok := v.(pflag.SliceValue); ok {
		return strings.Join(s.GetSlice(), ",")
	}
	return v.String()
}

func set(v pflag.Value, value string) error {
	s, ok := v.(pflag.SliceValue)
	if !ok {
		return v.Set(value)
	}
	if value == "" {
		return s.Replace(nil)
	}
	return s.Replace(strings.Split(value, ","))
}
