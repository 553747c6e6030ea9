package main

import "testing"

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

// If this fails, a model is not found under the name of the site that it came from.
func TestHostsThatAreTheSame(t *testing.T) {
	for _, text := range []string{"small", "ollama.com/library/small", "Registry.Ollama.AI/library/small:latest"} {
		if got, err := parseReference(text); err != nil || got.String() != "small" {
			t.Errorf("%s: %+v, %v", text, got, err)
		}
	}
}
