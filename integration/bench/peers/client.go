package main

import (
	"context"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"io"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
)

// keys is the size of the key space: the puts of a load replace each other's values, as
// changes of a thousand things do.
const keys = 1000

// valueSize is the size of what is put.
const valueSize = 256

func key(worker, n int) []byte { return fmt.Appendf(nil, "key-%04d", (worker+n*61)%keys) }

func value(worker, n int) []byte {
	v := make([]byte, valueSize)
	binary.BigEndian.PutUint64(v, uint64(worker))
	binary.BigEndian.PutUint64(v[8:], uint64(n))
	return v
}

// clients are etcd's own, by whom they talk to: kept open, so that what is measured finds
// warm connections.
type clients struct {
	certs string

	mu   sync.Mutex
	open map[string][]*clientv3.Client // guarded by mu
}

func client(ctx context.Context, args []string, in io.Reader, out io.Writer) error {
	flags := flag.NewFlagSet("client", flag.ContinueOnError)
	certs := flags.String("certs", "", "folder that certs wrote")
	if err := flags.Parse(args); err != nil {
		return err
	}
	c := &clients{certs: *certs, open: map[string][]*clientv3.Client{}}
	return errors.Join(serve(ctx, in, out, c.do), c.close())
}

// of returns n clients of the endpoints; each has one connection to each of them.
func (c *clients) of(endpoints []string, n int) ([]*clientv3.Client, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	name := fmt.Sprint(endpoints)
	for len(c.open[name]) < n {
		info := mutual(c.certs)
		conf, err := info.ClientConfig()
		if err != nil {
			return nil, fmt.Errorf("load certificates: %w", err)
		}
		one, err := clientv3.New(clientv3.Config{
			Endpoints: endpoints, TLS: conf, DialTimeout: 5 * time.Second, Logger: zap.NewNop(),
		})
		if err != nil {
			return nil, fmt.Errorf("connect to %v: %w", endpoints, err)
		}
		c.open[name] = append(c.open[name], one)
	}
	return c.open[name][:n], nil
}

func (c *clients) close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	var errs []error
	for _, list := range c.open {
		for _, one := range list {
			if err := one.Close(); !errors.Is(err, context.Canceled) {
				errs = append(errs, err)
			}
		}
	}
	return errors.Join(errs...)
}

func (c *clients) do(ctx context.Context, r request) (answer, error) {
	if r.Do == "one-put" {
		list, err := c.of([]string{r.Endpoint}, 1)
		if err != nil {
			return answer{}, err
		}
		return answer{}, putOnce(ctx, list[0], r)
	}
	if r.Do == "one-put-any" {
		list, err := c.of(r.Endpoints, 1)
		if err != nil {
			return answer{}, err
		}
		return answer{}, putOnce(ctx, list[0], r)
	}
	list, err := c.of(r.Endpoints, max(r.Conns, 1))
	if err != nil {
		return answer{}, err
	}
	var read []clientv3.OpOption
	switch r.Do {
	case "put":
		return load(ctx, r, func(ctx context.Context, worker, n int) error {
			_, err := list[worker%len(list)].Put(ctx, string(key(worker, n)), string(value(worker, n)))
			return err
		}), nil
	case "get":
	case "get-serializable":
		read = append(read, clientv3.WithSerializable())
	default:
		return answer{}, fmt.Errorf("a client does not know %q", r.Do)
	}
	return load(ctx, r, func(ctx context.Context, worker, n int) error {
		got, err := list[worker%len(list)].Get(ctx, string(key(worker, n)), read...)
		if err == nil && len(got.Kvs) != 1 {
			return errors.New("the key is not there")
		}
		return err
	}), nil
}

func putOnce(ctx context.Context, one *clientv3.Client, r request) error {
	ctx, cancel := context.WithTimeout(ctx, time.Duration(r.TimeoutMs)*time.Millisecond)
	defer cancel()
	_, err := one.Put(ctx, string(key(int(r.ID), 0)), string(value(int(r.ID), 0)))
	return err
}
