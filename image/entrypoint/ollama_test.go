package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const anyDigest = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

// If this fails, a name that Ollama's own command takes is not found, or is shown as another.
func TestReferences(t *testing.T) {
	for text, want := range map[string]reference{
		"nomic-embed-text":           {"registry.ollama.ai", "library", "nomic-embed-text", "latest"},
		"nomic-embed-text:v1.5":      {"registry.ollama.ai", "library", "nomic-embed-text", "v1.5"},
		"user/model":                 {"registry.ollama.ai", "user", "model", "latest"},
		"user/model:tag":             {"registry.ollama.ai", "user", "model", "tag"},
		"hf.co/Qwen/Qwen2-GGUF:Q8_0": {"hf.co", "Qwen", "Qwen2-GGUF", "Q8_0"},
		"localhost:5000/user/model":  {"localhost:5000", "user", "model", "latest"},
	} {
		got, err := parseReference(text)
		if got != want || err != nil || got.String() != text {
			t.Errorf("%s: %+v, %v", text, got, err)
		}
	}
}

// If this fails, a name can lead out of the models' folder.
func TestNamesThatLeadElsewhere(t *testing.T) {
	for _, text := range []string{"", ":", "..", "../x", "a/../b", "a/b/c/d", "x:..", "x:../../y", "a:b/c", "/x", "x/", ".x", "a b", "x:\x00"} {
		if got, err := parseReference(text); err == nil {
			t.Errorf("%q is taken for %+v", text, got)
		}
	}
}

// storeWith writes a manifest for `small` and a blob of 4 bytes.
func storeWith(t *testing.T, manifest string) store {
	t.Helper()
	folder := t.TempDir()
	for path, text := range map[string]string{
		"manifests/registry.ollama.ai/library/small/latest": manifest,
		"blobs/sha256-" + anyDigest:                         "GGUF",
		"secret":                                            "GGUF",
	} {
		path = filepath.Join(folder, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return store(folder)
}

func layers(all ...string) string { return `{"layers": [` + strings.Join(all, ", ") + `]}` }

func layerOf(kind, digest string, size int) string {
	return fmt.Sprintf(`{"mediaType": "application/vnd.ollama.image.%s", "digest": %q, "size": %d}`, kind, digest, size)
}

// If this fails, a damaged or hostile manifest serves another file than the model, or ends in a stack trace.
func TestManifests(t *testing.T) {
	whole := layerOf("model", "sha256:"+anyDigest, 4)
	for name, c := range map[string]struct {
		manifest, want string
		status         int
	}{
		"no JSON":             {"<html>", "is damaged", wrongBytes},
		"an empty file":       {"", "is damaged", wrongBytes},
		"other JSON":          {"[1]", "is damaged", wrongBytes},
		"too long":            {strings.Repeat(" ", manifestLimit+1), "is damaged", wrongBytes},
		"no layers":           {"{}", "names no model", wrongBytes},
		"no model":            {layers(layerOf("license", "sha256:"+anyDigest, 4)), "names no model", wrongBytes},
		"a path":              {layers(layerOf("model", "../../../../secret", 4)), "no SHA-256", wrongBytes},
		"a path in disguise":  {layers(layerOf("model", "sha256:../../secret", 4)), "no SHA-256", wrongBytes},
		"a path at the end":   {layers(layerOf("model", "sha256:"+anyDigest+"/../../secret", 4)), "no SHA-256", wrongBytes},
		"another hash":        {layers(layerOf("model", "sha1:"+anyDigest[:40], 4)), "no SHA-256", wrongBytes},
		"a blob elsewhere":    {layers(layerOf("model", "sha256:"+strings.Repeat("f", 64), 4)), "is missing: ollama pull small", notFound},
		"a blob cut short":    {layers(layerOf("model", "sha256:"+anyDigest, 5)), "4 bytes instead of 5: ollama pull small", wrongBytes},
		"a model and adapter": {layers(whole, layerOf("adapter", "sha256:"+anyDigest, 4)), "--lora", misconfigured},
	} {
		_, err := storeWith(t, c.manifest).find(reference{ollamaHost, ollamaNamespace, "small", ollamaTag})
		if statusOf(err) != c.status || !strings.Contains(fmt.Sprint(err), c.want) || strings.Contains(fmt.Sprint(err), "\n") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// If this fails, no model of an Ollama store is served.
func TestBlobIsFound(t *testing.T) {
	s := storeWith(t, layers(layerOf("license", "sha256:x", 1), layerOf("model", "sha256:"+anyDigest, 4)))
	got, err := s.find(reference{ollamaHost, ollamaNamespace, "small", ollamaTag})
	if err != nil || got.name != "small" || got.path != filepath.Join(string(s), "blobs", "sha256-"+anyDigest) {
		t.Errorf("%+v, %v", got, err)
	}
	if _, err := s.find(reference{ollamaHost, ollamaNamespace, "other", ollamaTag}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a name that it does not have: %v", err)
	}
}
