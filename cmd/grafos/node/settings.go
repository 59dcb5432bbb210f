package node

import (
	"os"
	"strings"
	"time"

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
	cmd.LocalNonPersistentFlags().VisitAll(func(f *pflag.Flag) {
		if f.Changed {
			said[f.Name] = text(f.Value)
		}
	})
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
			fault = ui.BadValue(source, value, f.Value, err)
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

// sizeOf reads a setting that is a size, and says which one is none.
func sizeOf(flag, text string) (int64, error) {
	n, err := api.ParseSize(text)
	if err != nil {
		return 0, api.Refuse(api.InvalidArgument, "--%s: %s", flag, api.Problem(err).Detail)
	}
	return n, nil
}

// duration is a setting such as 250ms, in a file, the environment or a flag.
type duration time.Duration

// String prints it as Set reads it.
func (d *duration) String() string { return time.Duration(*d).String() }

// Set reads a flag or a variable.
func (d *duration) Set(text string) error {
	v, err := time.ParseDuration(text)
	if err != nil {
		return api.Refuse(api.InvalidArgument, "%q is not a duration such as 250ms, 15s or 5m", ui.Clean(text))
	}
	*d = duration(v)
	return nil
}

// Type names the kind of value for the help page.
func (*duration) Type() string { return "duration" }

// UnmarshalText reads a TOML string.
func (d *duration) UnmarshalText(text []byte) error { return d.Set(string(text)) }
