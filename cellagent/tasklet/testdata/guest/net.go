package main

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"unsafe"
)

//go:wasmimport grafos_net_v0 dial
func netDial(p unsafe.Pointer, n uint32, ms int32) int32

//go:wasmimport grafos_net_v0 send
func netSend(flow int32, p unsafe.Pointer, n uint32, ms int32) int32

//go:wasmimport grafos_net_v0 recv
func netRecv(flow int32, p unsafe.Pointer, n uint32, ms int32) int32

//go:wasmimport grafos_net_v0 close
func netClose(flow int32) int32

func dial(address string, ms int32) int32 {
	return netDial(unsafe.Pointer(unsafe.StringData(address)), uint32(len(address)), ms)
}

func send(flow int32, p []byte, ms int32) int32 {
	return netSend(flow, unsafe.Pointer(unsafe.SliceData(p)), uint32(len(p)), ms)
}

func recv(flow int32, p []byte, ms int32) int32 {
	return netRecv(flow, unsafe.Pointer(unsafe.SliceData(p)), uint32(len(p)), ms)
}

// network does what args say: dial ADDRESS, echo ADDRESS BYTES, hold ADDRESS, pour ADDRESS, flood ADDRESS, odd ADDRESS.
func network(args []string) {
	switch args[0] {
	case "dial":
		for _, address := range args[1:] {
			flow := dial(address, 2000)
			fmt.Println(min(flow, 1))
		}
	case "echo":
		n, err := strconv.Atoi(args[2])
		if err != nil {
			panic(err)
		}
		echo(dial(args[1], -1), n)
	case "hold": // what nobody sends
		flow := dial(args[1], -1)
		fmt.Fprintln(os.Stderr, "holding", flow)
		fmt.Println(recv(flow, make([]byte, 1), -1))
	case "pour": // until it may not
		flow := dial(args[1], -1)
		fmt.Fprintln(os.Stderr, "pouring", flow)
		for p := make([]byte, 100_000); ; {
			if n := send(flow, p, -1); n < 0 {
				fmt.Println(n)
				return
			}
		}
	case "flood": // calls that cost the guest nothing
		for i := 0; ; i++ {
			dial(args[1], 0)
			if i == 0 {
				fmt.Fprintln(os.Stderr, "flooding")
			}
		}
	case "odd":
		flow := dial(args[1], -1)
		p := make([]byte, 1)
		fmt.Println(flow > 0, netSend(flow, unsafe.Pointer(&p[0]), 1<<31, 0), netRecv(flow, unsafe.Pointer(&p[0]), 1<<31, 0),
			send(flow, nil, 0), recv(flow, nil, 0), send(99, p, 0), recv(-1, p, 0), netClose(99), dial("", 0), recv(flow, p, 0), recv(flow, p, 10),
			netClose(flow), netClose(flow), send(flow, p, 0))
	}
}

// echo sends n bytes and takes them back.
func echo(flow int32, n int) {
	if flow < 0 {
		fmt.Println("dial", flow)
		os.Exit(1)
	}
	want := make([]byte, n)
	for i := range want {
		want[i] = byte(i * 7)
	}
	var got []byte
	p := make([]byte, 64<<10)
	for sent := 0; sent < n || len(got) < n; {
		if sent < n {
			k := send(flow, want[sent:min(sent+len(p), n)], -1)
			if k < 0 {
				fmt.Println("send", k)
				os.Exit(1)
			}
			sent += int(k)
		}
		if len(got) < sent {
			k := recv(flow, p, -1)
			if k <= 0 {
				fmt.Println("recv", k)
				os.Exit(1)
			}
			got = append(got, p[:k]...)
		}
	}
	fmt.Println("echoed", len(got), bytes.Equal(got, want), netClose(flow))
}
