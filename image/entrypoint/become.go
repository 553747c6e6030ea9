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
	err = syscall.Exec(server, append([]string{server}, args...), withoutEmpty(environ))
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
