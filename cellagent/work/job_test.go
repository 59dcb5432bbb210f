package work

import (
	"strings"
	"testing"

	"github.com/grafos/grafos/api"
)

func TestJobCheck(t *testing.T) {
	good := Job{Tenant: "acme", Module: api.DigestOf([32]byte{}), Deadline: 1}.WithDefaults()
	if err := good.Check(); err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		change func(*Job)
		kind   api.Kind
	}{
		"tenant":      {func(j *Job) { j.Tenant = "../x" }, api.InvalidArgument},
		"digest":      {func(j *Job) { j.Module = "sha256:0" }, api.InvalidArgument},
		"profile":     {func(j *Job) { j.Profile = api.ProfileV0 }, api.InvalidModule},
		"fuel":        {func(j *Job) { j.Fuel = 1 }, api.InvalidArgument},
		"deadline":    {func(j *Job) { j.Deadline = 0 }, api.InvalidArgument},
		"memory":      {func(j *Job) { j.Memory = 1 }, api.InvalidArgument},
		"stdin":       {func(j *Job) { j.Stdin = make([]byte, api.MaxInputBytes+1) }, api.TooLarge},
		"many args":   {func(j *Job) { j.Args = make([]string, api.MaxArgs+1) }, api.TooLarge},
		"long args":   {func(j *Job) { j.Args = []string{strings.Repeat("x", api.MaxInvocation)} }, api.TooLarge},
		"nul":         {func(j *Job) { j.Args = []string{"a\x00b"} }, api.InvalidArgument},
		"variable":    {func(j *Job) { j.Env = []string{"novalue"} }, api.InvalidArgument},
		"no variable": {func(j *Job) { j.Env = []string{"=x"} }, api.InvalidArgument},
	} {
		t.Run(name, func(t *testing.T) {
			j := good
			tt.change(&j)
			if got := api.KindOf(j.Check()); got != tt.kind {
				t.Errorf("got %q, want %q", got, tt.kind)
			}
		})
	}
}
