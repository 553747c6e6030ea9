package main

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"sort"
)

const (
	// manifestLimit, in bytes; that of a model in a thousand layers has some hundred KiB.
	manifestLimit = 4 << 20
	// manifestList is a manifest that names others, one for each program that can run the model.
	manifestList = "application/vnd.ollama.manifest.list.v2+json"
)

// manifest says what a model is made of (manifest/manifest.go of github.com/ollama/ollama, at baa78e7 for lists).
type manifest struct {
	MediaType string
	Layers    []layer
	Manifests []manifest // of a list
	// Of a manifest in a list:
	Digest string // of the blob that it is in, unless it is written out
	Runner string
	Format string // of its files
}

type layer struct {
	MediaType string
	Digest    string
	Size      int64
}

// readManifest also returns fs.ErrNotExist as such.
func readManifest(file string) (manifest, error) {
	var m manifest
	info, err := os.Stat(file)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return m, fs.ErrNotExist
	case err != nil:
		return m, unreadable(file, err)
	case !info.Mode().IsRegular():
		return m, fail(wrongBytes, "the manifest %s is not a file", file)
	case info.Size() > manifestLimit:
		return m, fail(wrongBytes, "the manifest %s is damaged: it has %d bytes", file, info.Size())
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return m, unreadable(file, err)
	}
	if err := json.Unmarshal(text, &m); err != nil {
		return m, fail(wrongBytes, "the manifest %s is damaged: %v", file, err)
	}
	return m, nil
}

// readable are those of a list whose files llama-server can read. One for `llamacpp` comes first: others may be made
// for Ollama's own changes.
func (m manifest) readable() []manifest {
	var found []manifest
	for _, each := range m.Manifests {
		if each.Format == "" || each.Format == "gguf" {
			found = append(found, each)
		}
	}
	sort.SliceStable(found, func(i, j int) bool {
		return found[i].Runner == "llamacpp" && found[j].Runner != "llamacpp"
	})
	return found
}
