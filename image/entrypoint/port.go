package main

import (
	"errors"
	"net"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// checkPort sees that nobody else serves where llama-server will. It would not notice: its sockets are SO_REUSEPORT
// (default_socket_options in httplib.h), so two of them on a port both start, and each gets some of the requests.
func checkPort(g given) error {
	host, port := "0.0.0.0", strconv.Itoa(defaultPort)
	if own, set := g.lookup(optHost); set {
		host = own
	}
	if own, set := g.lookup(optPort); set {
		port = own
	}
	if strings.HasSuffix(host, ".sock") { // a Unix socket, for llama-server
		return nil
	}
	address := net.JoinHostPort(host, port)
	if isFree(family(host), address) || !answers(address) {
		return nil // what else may be wrong with it, llama-server says
	}
	return fail(failed, "%s is taken by another program: end that one, or set LLAMA_ARG_PORT (containers that share a "+
		"network need a port each)", address)
}

// family is the network that llama-server listens in: for an IPv6 address in both, as Linux has it.
func family(host string) string {
	if ip := net.ParseIP(host); ip != nil && ip.To4() != nil {
		return "tcp4"
	}
	return "tcp"
}

// isFree tells whether an address can be had alone.
func isFree(network, address string) bool {
	listener, err := net.Listen(network, address)
	if err != nil {
		return !errors.Is(err, syscall.EADDRINUSE)
	}
	listener.Close()
	return true
}

// answers tells a server from what is left for a minute of one that ended: closed connections of a SO_REUSEPORT socket
// keep everybody from its port who does not share it as well, which llama-server does.
func answers(address string) bool {
	connection, err := net.DialTimeout("tcp", address, time.Second)
	if err != nil {
		return false
	}
	connection.Close()
	return true
}
