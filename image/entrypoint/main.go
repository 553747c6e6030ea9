// Entrypoint finds the model that MODEL names, makes up llama-server's command line from what the model's file says of
// itself, and becomes llama-server. `entrypoint health` proves that the server it became answers.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	if len(os.Args) > 1 && os.Args[1] == "health" {
		os.Exit(health(os.Args[2:]))
	}
	if len(os.Args) == 2 && os.Args[1] == "front" {
		say("%v", serveFront())
		os.Exit(failed)
	}
	// As process 1 of a container a signal without a handler does nothing, so a stop has to be listened for.
	ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer cancel()
	err := start(ctx, given{args: os.Args[1:], environ: os.Environ()})
	if errors.Is(ctx.Err(), context.Canceled) {
		say("stopped before llama-server was started")
		os.Exit(0)
	}
	say("%v", err)
	os.Exit(statusOf(err))
}

// start becomes llama-server; it returns only when that cannot be.
func start(ctx context.Context, g given) error {
	if g.onlyAsks() {
		return become(ctx, g.args, g.environ)
	}
	if err := checkLoaders(g); err != nil {
		return err
	}
	s, err := readSettings(g)
	if err != nil {
		return err
	}
	m, err := find(ctx, s)
	if err != nil {
		return err
	}
	whole, err := m.header()
	if err != nil {
		return err
	}
	if err := checkArchitecture(m, whole); err != nil {
		return err
	}
	header := whole.summary()
	l := thisContainer()
	p, err := makePlan(m, header, s, g, l)
	if err != nil {
		return err
	}
	if err := checkMemory(m.name, p.needs, l); err != nil {
		return err
	}
	if err := checkPort(g); err != nil {
		return err
	}
	say("%s: %s: %s", m.name, m.where, header)
	for _, line := range overridden(g) {
		say("%s", line)
	}
	for _, line := range p.notes {
		say("%s: %s", m.name, line)
	}
	p.front.Files = m.files()
	inner, err := startFront(p.front, g)
	if err != nil {
		return err
	}
	return become(ctx, append(append(p.args, g.args...), inner...), g.environ)
}

// say writes a line for people.
func say(format string, values ...any) {
	fmt.Fprintf(os.Stderr, "entrypoint: "+format+"\n", values...)
}
