package main

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
)

const defaultPort = 8080

// deepest is how many words may stand before llama-server's name in a process's command line: an emulator with its
// own arguments, or a script's interpreter.
const deepest = 3

// server is the llama-server of this container, as its own command line describes it.
type server struct {
	pid   int
	url   string
	front string // where its clients reach it; empty when nothing is in front of it
	mode  string
	key   string // that it asks its clients for, or empty
}

// findServer looks for the process that the entrypoint became. That is process 1, unless the container was given an
// init or shares its processes with others; then it is the one that sees the same files.
func findServer(environ []string) (server, error) {
	ours, _ := os.Readlink("/proc/self/ns/mnt")
	for _, pid := range processes() {
		theirs, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/mnt", pid))
		if pid != 1 && (err != nil || theirs != ours) {
			continue
		}
		if args, found := serverArguments(pid); found {
			return describe(pid, given{args: args, environ: environ}), nil
		}
	}
	return server{}, fail(failed, "no llama-server runs here: the model may still be on its way")
}

// processes are the numbers of those that can be seen, smallest first.
func processes() []int {
	entries, _ := os.ReadDir("/proc")
	var pids []int
	for _, entry := range entries {
		if pid, err := strconv.Atoi(entry.Name()); err == nil {
			pids = append(pids, pid)
		}
	}
	sort.Ints(pids)
	return pids
}

// serverArguments are what a process was given, if it is a llama-server.
func serverArguments(pid int) ([]string, bool) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if err != nil || len(text) == 0 {
		return nil, false
	}
	words := strings.Split(strings.TrimSuffix(string(text), "\x00"), "\x00")
	for i := deepest; i >= 0; i-- {
		if i < len(words) && strings.HasPrefix(filepath.Base(words[i]), "llama-server") {
			return words[i+1:], true
		}
	}
	return nil, false
}

// describe reads the options of a running server as it reads them itself.
func describe(pid int, g given) server {
	s := server{pid: pid, mode: chat}
	switch {
	case g.isOn(optReranking):
		s.mode = reranking
	case g.isOn(optEmbeddings):
		s.mode = embeddings
	}
	s.url = g.reachable()
	if outer, found := behindFront(g); found {
		s.front = outer.reachable()
	}
	s.key, _ = g.lookup(optAPIKey)
	if file, set := g.lookup(optAPIKeyFile); set {
		keys, _ := os.ReadFile(file)
		s.key, _, _ = strings.Cut(string(keys), "\n")
	}
	return s
}

// behindFront returns what a server was given before the entrypoint told it where the front finds it, if it did.
func behindFront(g given) (given, bool) {
	last := len(g.args) - 4
	if last < 0 || g.args[last] != "--host" || g.args[last+1] != loopback || g.args[last+2] != "--port" {
		return g, false
	}
	return given{args: g.args[:last], environ: g.environ}, true
}

// reachable is the URL of an address as this container reaches it.
func (g given) reachable() string {
	host, port := g.address()
	if host == "0.0.0.0" || host == "::" {
		host = loopback
	}
	return "http://" + net.JoinHostPort(host, port)
}

// isRunning tells whether one of the server's threads computes at this moment, or waits for nothing but a CPU.
func (s server) isRunning() bool {
	threads, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", s.pid))
	for _, thread := range threads {
		text, _ := os.ReadFile(thread)
		// The state follows a name in parentheses, which may hold anything.
		if state := text[strings.LastIndex(string(text), ")")+1:]; strings.HasPrefix(string(state), " R") {
			return true
		}
	}
	return false
}
