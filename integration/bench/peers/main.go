// Command peers is etcd as grafOS' benchmarks measure it: a member of a cluster, and a
// client. It is a module of its own, so that nothing of etcd enters the product, and is built
// when a benchmark asks for it.
//
// Every process takes requests as JSON lines on its standard input, each with a number, and
// answers them as they become ready, each under its number. It stops when the input ends.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"go.etcd.io/etcd/api/v3/version"
)

func main() { os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) }

func run(args []string, in io.Reader, out, errOut io.Writer) int {
	// A child of a benchmark ends with its input, or when it is told to: what Ctrl-C says to
	// the whole group is for the benchmark.
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	signal.Ignore(os.Interrupt)
	err := dispatch(ctx, args, in, out)
	if err != nil {
		_, _ = fmt.Fprintln(errOut, "peers:", err) // nobody is left to tell
		return 1
	}
	return 0
}

func dispatch(ctx context.Context, args []string, in io.Reader, out io.Writer) error {
	if len(args) == 0 {
		return errors.New("usage: peers version | certs | member | client")
	}
	switch args[0] {
	case "version":
		_, err := fmt.Fprintln(out, version.Version)
		return err
	case "certs":
		return certs(args[1:])
	case "member":
		return member(ctx, args[1:], in, out)
	case "client":
		return client(ctx, args[1:], in, out)
	}
	return fmt.Errorf("%q is none of version, certs, member, client", args[0])
}
