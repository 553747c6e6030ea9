package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
)

// What Ollama leaves out of a name (types/model/name.go of github.com/ollama/ollama).
const (
	ollamaHost      = "registry.ollama.ai"
	ollamaNamespace = "library"
	ollamaTag       = "latest"
)

// The kinds of layer that matter here (server/images.go there).
const (
	modelLayer   = "application/vnd.ollama.image.model"
	adapterLayer = "application/vnd.ollama.image.adapter"
)

// manifestLimit, in bytes: a manifest is a list of a few layers.
const manifestLimit = 1 << 20

var (
	namePart = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]*$`)
	hostPart = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]*(:[0-9]+)?$`)
	digest   = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)
)

// reference is a model's full name in an Ollama store.
type reference struct{ host, namespace, name, tag string }

// parseReference reads [[HOST/]NAMESPACE/]NAME[:TAG].
func parseReference(text string) (reference, error) {
	r := reference{host: ollamaHost, namespace: ollamaNamespace, tag: ollamaTag}
	rest := text
	if colon := strings.LastIndex(rest, ":"); colon > strings.LastIndex(rest, "/") {
		rest, r.tag = rest[:colon], rest[colon+1:]
	}
	parts := strings.Split(rest, "/")
	switch len(parts) {
	case 3:
		r.host, r.namespace, r.name = parts[0], parts[1], parts[2]
	case 2:
		r.namespace, r.name = parts[0], parts[1]
	case 1:
		r.name = parts[0]
	}
	for _, part := range []string{r.namespace, r.name, r.tag} {
		if !namePart.MatchString(part) {
			return r, fmt.Errorf("%s is not a model's name", text)
		}
	}
	if !hostPart.MatchString(r.host) {
		return r, fmt.Errorf("%s is not a model's name", text)
	}
	return r, nil
}

// String leaves out what Ollama leaves out.
func (r reference) String() string {
	text := r.name
	switch {
	case r.host != ollamaHost:
		text = path.Join(r.host, r.namespace, r.name)
	case r.namespace != ollamaNamespace:
		text = path.Join(r.namespace, r.name)
	}
	if r.tag != ollamaTag {
		text += ":" + r.tag
	}
	return text
}

// store is an Ollama store: a folder with manifests/ and blobs/.
type store string

// stores are those of a folder: itself, or its models/ when it is what Ollama calls its home, as in a container's
// volume at /root/.ollama.
func stores(folder string) []store {
	var found []store
	for _, candidate := range []string{folder, filepath.Join(folder, "models")} {
		if info, err := os.Stat(filepath.Join(candidate, "manifests")); err == nil && info.IsDir() {
			found = append(found, store(candidate))
		}
	}
	return found
}

// names lists what the store has manifests for.
func (s store) names() []string {
	paths, _ := fs.Glob(os.DirFS(string(s)), "manifests/*/*/*/*")
	var names []string
	for _, found := range paths {
		parts := strings.Split(found, "/")
		names = append(names, reference{parts[1], parts[2], parts[3], parts[4]}.String())
	}
	return names
}

// find returns the model's blob; the error is fs.ErrNotExist when the store does not know the name.
func (s store) find(r reference) (model, error) {
	file := filepath.Join(string(s), "manifests", r.host, r.namespace, r.name, r.tag)
	layers, err := readManifest(file)
	if err != nil {
		return model{}, err
	}
	mend := fmt.Sprintf("ollama pull %s", r)
	var chosen *layer
	for i := range layers {
		switch layers[i].MediaType {
		case modelLayer:
			if chosen == nil {
				chosen = &layers[i]
			}
		case adapterLayer:
			return model{}, fail(misconfigured, "%s is a base model with an adapter, which would be left out: give both to "+
				"llama-server yourself, with --model and --lora", r)
		}
	}
	if chosen == nil {
		return model{}, fail(wrongBytes, "the manifest %s names no model", file)
	}
	blob, err := s.blob(*chosen)
	if err != nil {
		return model{}, fail(statusOf(err), "%s: %v: %s", r, err, mend)
	}
	return model{name: r.String(), path: blob, where: fmt.Sprintf("%s of the Ollama store %s", filepath.Base(blob), s)}, nil
}

type layer struct {
	MediaType string
	Digest    string
	Size      int64
}

func readManifest(file string) ([]layer, error) {
	info, err := os.Stat(file)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fs.ErrNotExist
	case err != nil:
		return nil, unreadable(file, err)
	case !info.Mode().IsRegular():
		return nil, fs.ErrNotExist
	case info.Size() > manifestLimit:
		return nil, fail(wrongBytes, "the manifest %s is damaged: it has %d bytes", file, info.Size())
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, unreadable(file, err)
	}
	var manifest struct{ Layers []layer }
	if err := json.Unmarshal(text, &manifest); err != nil {
		return nil, fail(wrongBytes, "the manifest %s is damaged: %v", file, err)
	}
	return manifest.Layers, nil
}

// blob is a layer's file, which must be there and whole. A digest is part of a path, so it must be nothing else.
func (s store) blob(l layer) (string, error) {
	if !digest.MatchString(l.Digest) {
		return "", fail(wrongBytes, "its manifest names the layer %q, which is no SHA-256", l.Digest)
	}
	file := filepath.Join(string(s), "blobs", strings.Replace(l.Digest, ":", "-", 1))
	info, err := os.Stat(file)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", fail(notFound, "its blob %s is missing", file)
	case err != nil:
		return "", unreadable(file, err)
	case info.Size() != l.Size:
		return "", fail(wrongBytes, "its blob %s has %d bytes instead of %d", file, info.Size(), l.Size)
	}
	return file, nil
}
