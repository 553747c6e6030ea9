package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// If this fails, somebody whose SELinux forbids what the mode allows is told to change the mode.
func TestWhatForbids(t *testing.T) {
	for _, c := range []struct {
		mode os.FileMode
		want string
	}{
		{0o755, "SELinux: add :z to the volume"},
		{0o700, "chmod -R o+rX it"},
		{0o751, "chmod -R o+rX it"},
	} {
		folder := filepath.Join(t.TempDir(), "models")
		if err := os.Mkdir(folder, c.mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(folder, c.mode); err != nil {
			t.Fatal(err)
		}
		if err := mayNot("enter", folder); statusOf(err) != misconfigured || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: %v", c.mode, err)
		}
	}
}
