package cli

import "errors"

// fileName is a flag that names a file, or stands for one. It refuses to be empty: a variable of a shell that
// was not set is to protect nothing less than one that was.
type fileName string

// Set takes the flag's value.
func (f *fileName) Set(s string) error {
	if s == "" {
		return errors.New("it names no file: is the variable set?")
	}
	*f = fileName(s)
	return nil
}

// String is the value.
func (f *fileName) String() string { return string(*f) }

// Type is what help calls it.
func (*fileName) Type() string { return "file" }
