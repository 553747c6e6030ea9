package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
)

// secrets are options whose values are not for the log.
var secrets = []string{"--api-key", "--hf-token", "-hft"}

// become replaces this process by the llama-server beside it: same process, same standard output, its own signals.
func become(ctx context.Context, args, environ []string) error {
	self, err := os.Executable()
	if err != nil {
		return fail(failed, "cannot find llama-server: %v", err)
	}
	server, err := thisCPU().chooseServer(filepath.Dir(self))
	if err != nil {
		return err
	}
	say("%s %s", server, strings.Join(withoutSecrets(args), " "))
	if ctx.Err() != nil {
		return ctx.Err()
	}
	err = syscall.Exec(server, append([]string{server}, args...), sleepy(withoutEmpty(environ)))
	if errors.Is(err, syscall.ENOEXEC) {
		return fail(failed, "%s is not made for this machine (%s/%s)", server, runtime.GOOS, runtime.GOARCH)
	}
	return fail(failed, "cannot start %s: %v", server, err)
}

func withoutSecrets(args []string) []string {
	shown := append([]string{}, args...)
	for i := 1; i < len(shown); i++ {
		if contains(secrets, canonical(args[i-1])) {
			shown[i] = "***"
		}
	}
	return shown
}

// sleepy lets threads that wait for each other sleep, unless the user decided how they wait. By itself libgomp lets
// them go round in circles, and whoever else needs the processor, often the thread that is waited for, does not get it.
func sleepy(environ []string) []string {
	g := given{environ: environ}
	for _, name := range []string{"OMP_WAIT_POLICY", "GOMP_SPINCOUNT"} {
		if _, set := g.variable(name); set {
			return environ
		}
	}
	return append(environ, "OMP_WAIT_POLICY=passive")
}

// withoutEmpty drops llama-server's variables that are empty: it would take an empty number for a wrong one.
func withoutEmpty(environ []string) []string {
	var kept []string
	for _, pair := range environ {
		key, value, _ := strings.Cut(pair, "=")
		if value != "" || !strings.HasPrefix(key, "LLAMA_") {
			kept = append(kept, pair)
		}
	}
	return kept
}
