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

// noDigest is that of a blob which is not there.
var noDigest = strings.Repeat("f", 64)

const smallModel = "registry.ollama.ai/library/small/latest"

// storeOf writes files into a store, and a blob of 4 bytes.
func storeOf(t *testing.T, files map[string]string) store {
	t.Helper()
	folder := t.TempDir()
	files["blobs/sha256-"+anyDigest] = "GGUF"
	for path, text := range files {
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

// storeWith writes a manifest for `small`.
func storeWith(t *testing.T, manifest string) store {
	t.Helper()
	return storeOf(t, map[string]string{"manifests/" + smallModel: manifest, "secret": "GGUF"})
}

func layers(all ...string) string { return `{"layers": [` + strings.Join(all, ", ") + `]}` }

func layerOf(kind, digest string, size int) string {
	return fmt.Sprintf(`{"mediaType": "application/vnd.ollama.image.%s", "digest": %q, "size": %d}`, kind, digest, size)
}

func list(children ...string) string {
	return fmt.Sprintf(`{"mediaType": %q, "manifests": [%s]}`, manifestList, strings.Join(children, ", "))
}

func child(digest, runner, format string) string {
	return fmt.Sprintf(`{"digest": %q, "runner": %q, "format": %q}`, digest, runner, format)
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
		"a blob cut short":    {layers(layerOf("model", "sha256:"+anyDigest, 5)), "4 bytes instead of 5: ollama pull small", wrongBytes},
		"a blob elsewhere":    {layers(layerOf("model", "sha256:"+noDigest, 4)), "is missing: ollama pull small", notFound},
		"an empty list":       {list(), "only for other programs", notFound},
		"for others":          {list(child(noDigest, "mlx", "safetensors")), "only for other programs", notFound},
		"not pulled":          {list(child("sha256:"+noDigest, "llamacpp", "gguf")), "is missing: ollama pull small", notFound},
		"a path in a list":    {list(child("../../secret", "llamacpp", "gguf")), "no SHA-256", wrongBytes},
		"a model in a list":   {list(child("sha256:"+anyDigest, "llamacpp", "gguf")), "is damaged", wrongBytes},
		"a list in a list":    {list(list()), "names no model", wrongBytes},
		"a list of numbers":   {list("1"), "is damaged", wrongBytes},
		"deep":                {strings.Repeat(`{"manifests": [`, 20000), "is damaged", wrongBytes},
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

// If this fails, models vanish when Ollama is updated to one that keeps its manifests elsewhere.
func TestManifestsOfNewerVersions(t *testing.T) {
	whole := layers(layerOf("model", "sha256:"+anyDigest, 4))
	gone := layers(layerOf("model", "sha256:"+noDigest, 4))
	for name, files := range map[string]map[string]string{
		"a copy":             {"manifests-v2/ollama.com/library/small/latest": whole},
		"by the old host":    {"manifests-v2/" + smallModel: whole},
		"old, of the site":   {"manifests/ollama.com/library/small/latest": whole},
		"new before old":     {"manifests-v2/ollama.com/library/small/latest": whole, "manifests/" + smallModel: gone},
		"written out":        {"manifests/" + smallModel: list(child(noDigest, "mlx", "safetensors"), whole)},
		"llama.cpp's first":  {"manifests/" + smallModel: list(withRunner(gone, "ggml"), withRunner(whole, "llamacpp"))},
		"without a format":   {"manifests/" + smallModel: list(withRunner(whole, ""))},
		"a digest in others": {"manifests/" + smallModel: layers(layerOf("model", "sha256-"+strings.ToUpper(anyDigest), 4))},
		"a type with more":   {"manifests/" + smallModel: layers(layerOf("model; x=y", "sha256:"+anyDigest, 4))},
		"one of two is here": {
			"manifests/" + smallModel:      list(child("sha256:"+noDigest, "llamacpp", "gguf"), child("sha256:"+listedDigest, "ggml", "gguf")),
			"blobs/sha256-" + listedDigest: whole,
		},
	} {
		s := storeOf(t, files)
		got, err := s.find(reference{ollamaHost, ollamaNamespace, "small", ollamaTag})
		if err != nil || got.path != filepath.Join(string(s), "blobs", "sha256-"+anyDigest) {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
		if names := strings.Join(s.names(), " "); names != "small" {
			t.Errorf("%s: offers %s", name, names)
		}
	}
}

// listedDigest is that of a blob which is a manifest.
var listedDigest = strings.Repeat("a", 64)

func withRunner(manifest, runner string) string {
	return fmt.Sprintf(`{"runner": %q, %s`, runner, manifest[1:])
}

// If this fails, the models of a registry with a port vanish, or what a file manager leaves is offered as a model.
func TestNamesOnDisk(t *testing.T) {
	whole := layers(layerOf("model", "sha256:"+anyDigest, 4))
	s := storeOf(t, map[string]string{
		"manifests-v2/localhost%3A5000/user/small/latest":      whole,
		"manifests-v2/ollama.com/library/small/.DS_Store":      "",
		"manifests-v2/ollama.com/library/small/a b":            "",
		"manifests/localhost:5000/user/other/latest":           whole,
		"manifests/registry.ollama.ai/library/small/.tmp-1234": "",
	})
	if names := strings.Join(s.names(), " "); names != "localhost:5000/user/small localhost:5000/user/other" {
		t.Error(names)
	}
	for _, name := range []string{"small", "other"} {
		if _, err := s.find(reference{"localhost:5000", "user", name, ollamaTag}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// If this fails, a link that a clean-up left hides a model that is still there, or shows as a typing error.
func TestLinksThatLeadNowhere(t *testing.T) {
	s := storeWith(t, layers(layerOf("model", "sha256:"+anyDigest, 4)))
	for _, name := range []string{"small", "lost"} {
		link := filepath.Join(string(s), "manifests-v2", ollamaSite, ollamaNamespace, name, ollamaTag)
		if err := os.MkdirAll(filepath.Dir(link), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink("../../../../blobs/sha256-"+noDigest, link); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.find(reference{ollamaHost, ollamaNamespace, "small", ollamaTag}); err != nil {
		t.Error(err)
	}
	_, err := s.find(reference{ollamaHost, ollamaNamespace, "lost", ollamaTag})
	if statusOf(err) != notFound || !strings.Contains(err.Error(), "which is not there: mount what it leads to as well") {
		t.Error(err)
	}
}
