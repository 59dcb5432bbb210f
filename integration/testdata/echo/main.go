// Command echo copies its standard input to its standard output and names its arguments on
// its standard error: a tasklet for tests.
package main

import (
	"fmt"
	"io"
	"os"
)

func main() {
	if _, err := io.Copy(os.Stdout, os.Stdin); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Fprintln(os.Stderr, os.Args[1:])
}
