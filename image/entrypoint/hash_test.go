package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// If this fails, a model that somebody exchanged is loaded, or the right one is not.
func TestHashOfAFile(t *testing.T) {
	const abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" // FIPS 180-2, appendix B.1
	m := model{path: filepath.Join(t.TempDir(), "m")}
	if err := os.WriteFile(m.path, []byte("abc"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := m.verify(context.Background(), abc); err != nil {
		t.Error(err)
	}
	err := m.verify(context.Background(), anyDigest)
	if statusOf(err) != wrongBytes || !strings.Contains(err.Error(), abc) || !strings.Contains(err.Error(), anyDigest) {
		t.Error(err)
	}
	if err := (model{path: m.path + "x"}).verify(context.Background(), abc); statusOf(err) != notFound {
		t.Error(err)
	}
}

// If this fails, a container that hashes a large model does not stop when it is told to.
func TestHashingStops(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := (model{path: "/dev/zero"}).verify(ctx, anyDigest); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}
