package ui

import (
	"github.com/spf13/pflag"

	"github.com/grafos/grafos/api"
)

// Key is a flag for an idempotency key; "" is that it is not given. Given, it is one: a script
// whose variable is not set would else lose what the key is for, without a word.
type Key string

// String prints the key.
func (k *Key) String() string { return string(*k) }

// Set takes a key.
func (k *Key) Set(text string) error {
	if err := api.CheckKey(text); err != nil {
		return err
	}
	*k = Key(text)
	return nil
}

// Type names the value in help.
func (*Key) Type() string { return "key" }

// AddFlag adds it under the name that it has everywhere.
func (k *Key) AddFlag(fs *pflag.FlagSet) {
	fs.Var(k, "idempotency-key", "`key` under which repeating this is harmless (default: a new one)")
}
