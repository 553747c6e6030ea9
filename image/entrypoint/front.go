package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// frontVariable carries the front's description to its process.
const frontVariable = "POLLEX_FRONT"

// soReusePort is SO_REUSEPORT, which llama-server's own sockets have; the syscall package does not name it everywhere.
const soReusePort = 15

// front is what clients reach on the container's port: Ollama's endpoints, what llama-server leaves unchecked, and
// llama-server itself behind it.
type front struct {
	Upstream    string   // llama-server's address on the loopback
	Name        string   // the model's, as clients know it
	Files       []string // its file, or the parts of it
	Mode        string   // what the server does
	Room        int      // tokens of one input
	Dimensions  int      // numbers of a vector; 0 when the file does not say
	Matryoshka  bool     // a vector's beginning is one too
	Truncate    bool     // a text that is too long is cut for OpenAI's clients too
	Prefix      string   // stands before each text that is embedded
	Origins     []string // whose pages may ask
	Connections int      // to llama-server at a time
	Tools       bool     // chat takes functions

	client *http.Client
	proxy  http.Handler
}

func init() {
	// The front ends with the thread that started it, which has to be the one that becomes llama-server.
	runtime.LockOSThread()
}

// startFront starts the front as a process of its own and returns what llama-server is told besides: where the front
// finds it. Process 1 stays llama-server, with its own exit status and signals, and the kernel ends the front with it.
func startFront(f front, g given) ([]string, error) {
	host, port := g.address()
	if strings.HasSuffix(host, ".sock") { // a Unix socket, which only llama-server's own clients use
		return nil, nil
	}
	listener, err := listen(net.JoinHostPort(host, port), family(host))
	if err != nil {
		return nil, fail(failed, "cannot listen on %s: %v", net.JoinHostPort(host, port), err)
	}
	defer listener.Close()
	inner, err := freePort()
	if err != nil {
		return nil, fail(failed, "there is no port for llama-server: %v", err)
	}
	f.Upstream = net.JoinHostPort(loopback, inner)
	if err := f.run(listener); err != nil {
		return nil, fail(failed, "cannot start the program in front of llama-server: %v", err)
	}
	return []string{"--host", loopback, "--port", inner}, nil
}

const loopback = "127.0.0.1"

// listen takes an address as llama-server does, so that one that has just ended does not keep its successor away.
func listen(address, network string) (*net.TCPListener, error) {
	config := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) (err error) {
		_ = c.Control(func(fd uintptr) {
			err = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, soReusePort, 1)
		})
		return err
	}}
	listener, err := config.Listen(context.Background(), network, address)
	if err != nil {
		return nil, err
	}
	return listener.(*net.TCPListener), nil
}

// freePort is one that nobody listened on a moment ago.
func freePort() (string, error) {
	listener, err := net.Listen("tcp4", ":0") // of any address: a network without a loopback is still one
	if err != nil {
		return "", err
	}
	defer listener.Close()
	return strconv.Itoa(listener.Addr().(*net.TCPAddr).Port), nil
}

// run hands the listener to a process of this same program.
func (f front) run(listener *net.TCPListener) error {
	description, err := json.Marshal(f)
	if err != nil {
		return err
	}
	file, err := listener.File()
	if err != nil {
		return err
	}
	defer file.Close()
	self, err := os.Executable()
	if err != nil {
		return err
	}
	_, err = os.StartProcess(self, []string{self, "front"}, &os.ProcAttr{
		Env:   []string{frontVariable + "=" + string(description)},
		Files: []*os.File{os.Stdin, os.Stderr, os.Stderr, file}, // the listener is 3
		Sys:   &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL},
	})
	return err
}

// serveFront is the front's process.
func serveFront() error {
	var f front
	if err := json.Unmarshal([]byte(os.Getenv(frontVariable)), &f); err != nil {
		return fmt.Errorf("`entrypoint front` is started by the entrypoint alone: %v", err)
	}
	listener, err := net.FileListener(os.NewFile(3, "listener"))
	if err != nil {
		return err
	}
	f.connect()
	server := http.Server{Handler: f, ReadHeaderTimeout: time.Minute}
	return server.Serve(listener)
}

// address is where clients find the server.
func (g given) address() (host, port string) {
	host, port = "0.0.0.0", strconv.Itoa(defaultPort)
	if own, set := g.lookup(optHost); set {
		host = own
	}
	if own, set := g.lookup(optPort); set {
		port = own
	}
	return host, port
}
