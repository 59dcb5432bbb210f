package node

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"strconv"
	"strings"

	"github.com/grafos/grafos/api"
)

// freePorts finds n loopback ports that are free for TCP and UDP now. They lie below the
// range from which the kernel picks ports for outgoing connections: a port of that range
// could be taken while its node is down, and the node would not come back.
func freePorts(ctx context.Context, n int) ([]int, error) {
	const low = 10000
	high := ephemeral()
	var ports []int
	var held []interface{ Close() error }
	defer func() {
		for _, c := range held {
			_ = c.Close()
		}
	}()
	lc := net.ListenConfig{}
	for tries := 0; len(ports) < n; tries++ {
		if tries > 100*n {
			return nil, api.Refuse(api.Conflict, "no %d free ports found between %d and %d", n, low, high)
		}
		port := low + rand.IntN(high-low)
		addr := loopback(port)
		tcp, err := lc.Listen(ctx, "tcp", addr)
		if err != nil {
			continue
		}
		udp, err := lc.ListenPacket(ctx, "udp", addr)
		if err != nil {
			if err := tcp.Close(); err != nil {
				return nil, fmt.Errorf("look for ports: %w", err)
			}
			continue
		}
		held = append(held, tcp, udp)
		ports = append(ports, port)
	}
	return ports, errors.Join()
}

func loopback(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

// ephemeral is the lowest port of outgoing connections (ip(7)); Linux' default where it
// cannot be read.
func ephemeral() int {
	const def = 32768
	b, err := os.ReadFile("/proc/sys/net/ipv4/ip_local_port_range")
	if err != nil {
		return def
	}
	first, _, _ := strings.Cut(strings.TrimSpace(string(b)), "\t")
	n, err := strconv.Atoi(first)
	if err != nil || n < 12000 {
		return def
	}
	return n
}
