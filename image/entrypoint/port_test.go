package main

import (
	"context"
	"fmt"
	"net"
	"strings"
	"syscall"
	"testing"
)

// shared listens as llama-server does; 15 is SO_REUSEPORT on amd64 and arm64, which package syscall lacks.
func shared(t *testing.T, network, host string, port int) (net.Listener, int) {
	t.Helper()
	config := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		var failed error
		err := c.Control(func(fd uintptr) { failed = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, 15, 1) })
		if err != nil {
			return err
		}
		// Go sets it, llama-server does not.
		_ = c.Control(func(fd uintptr) { _ = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 0) })
		return failed
	}}
	listener, err := config.Listen(context.Background(), network, net.JoinHostPort(host, fmt.Sprint(port)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	return listener, listener.Addr().(*net.TCPAddr).Port
}

// on checks a port of some hosts, as an argument or as variables.
func on(host string, port int) error {
	if err := checkPort(given{environ: []string{fmt.Sprint("LLAMA_ARG_PORT=", port), "LLAMA_ARG_HOST=" + host}}); err != nil {
		return err
	}
	return checkPort(given{args: []string{"--port", fmt.Sprint(port), "--host", host}})
}

// If this fails, two servers share a port, and half of the requests get the other one's answers.
func TestPortThatIsTaken(t *testing.T) {
	_, port := shared(t, "tcp4", "127.0.0.1", 0)
	for _, host := range []string{"127.0.0.1", "0.0.0.0", "::", "", "localhost"} {
		err := on(host, port)
		if statusOf(err) != failed || err == nil || !strings.Contains(err.Error(), fmt.Sprintf("%s is taken", net.JoinHostPort(host, fmt.Sprint(port)))) {
			t.Errorf("%q: %v", host, err)
		}
	}
	for _, host := range []string{"127.0.0.2", "::1", "x.sock", "192.0.2.1"} { // others' addresses, and what is not ours to say
		if err := on(host, port); err != nil {
			t.Errorf("%q: %v", host, err)
		}
	}
}

// If this fails, a server that is restarted is refused for a minute, because its old connections are still closing.
func TestPortThatWasInUse(t *testing.T) {
	listener, port := shared(t, "tcp4", "127.0.0.1", 0)
	client, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	served, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	served.Close() // who closes first is left with the connection
	client.Close()
	listener.Close()
	if isFree("tcp4", fmt.Sprint("127.0.0.1:", port)) {
		t.Error("nothing is left of the connection, so this shows nothing")
	}
	if err := on("127.0.0.1", port); err != nil {
		t.Error(err)
	}
}
