package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Whoever puts a file on a volume must not be able to do more than to be refused.

func FuzzManifest(f *testing.F) {
	f.Add([]byte(`{"layers":[{"mediaType":"application/vnd.ollama.image.model","digest":"sha256:` + strings.Repeat("a", 64) + `","size":3}]}`))
	f.Add([]byte(`{"manifests":[{"format":"gguf","digest":"sha256:../../../etc/passwd"},{"runner":"llamacpp"}]}`))
	f.Add([]byte(strings.Repeat("[", 20_000)))
	folder := f.TempDir()
	file := filepath.Join(folder, "manifest")
	f.Fuzz(func(t *testing.T, content []byte) {
		if err := os.WriteFile(file, content, 0o600); err != nil {
			t.Fatal(err)
		}
		m, err := readManifest(file)
		if err != nil {
			if statusOf(err) != wrongBytes {
				t.Fatalf("another status than that of wrong bytes: %v", err)
			}
			return
		}
		for _, each := range append(m.readable(), m) {
			chosen, _ := each.model(reference{})
			for _, named := range []string{chosen.Digest, each.Digest} {
				blob, err := store(folder).path(named)
				if err == nil && filepath.Dir(blob) != filepath.Join(folder, "blobs") {
					t.Fatalf("%q leads to %s", named, blob)
				}
			}
		}
	})
}

func FuzzReference(f *testing.F) {
	for _, text := range []string{"smollm2:135m", "hf.co/a/b:Q4", "a/../b", "registry.ollama.ai/library/x:latest", ""} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		r, err := parseReference(text)
		if err != nil {
			return
		}
		for _, place := range store("/store").places(r) {
			if !strings.HasPrefix(place, "/store/") || strings.Contains(place, "..") && filepath.Clean(place) != place {
				t.Fatalf("%q leads to %s", text, place)
			}
		}
	})
}
