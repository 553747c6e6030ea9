package main

import (
	"errors"
	"fmt"
)

// Exit statuses, the same as pollex-host's where the reason is the same.
const (
	failed        = 1
	misconfigured = 2 // a setting is missing, contradicts another, or is not what it must be
	wrongBytes    = 3 // a file, manifest or download is not what its name, size or hash says
	notFound      = 4
	unknownKind   = 5 // the model is of a kind that this llama-server cannot load
	noSpace       = 6
	noMemory      = 7 // the model cannot fit into what the container may have
	unreachable   = 8
)

// failure is a reason to stop that a person can act on, in one line.
type failure struct {
	status int
	text   string
}

func (f failure) Error() string { return f.text }

func fail(status int, format string, values ...any) error {
	return failure{status, fmt.Sprintf(format, values...)}
}

func statusOf(err error) int {
	var f failure
	if errors.As(err, &f) {
		return f.status
	}
	return failed
}
