package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
)

// The kinds of layer that matter here (server/images.go of github.com/ollama/ollama).
const (
	modelLayer   = "application/vnd.ollama.image.model"
	adapterLayer = "application/vnd.ollama.image.adapter"
)

// manifestFolders are where a store keeps its manifests, each at HOST/NAMESPACE/NAME/TAG. Newer versions of Ollama look
// into the first one first; a file of theirs is a link to a blob.
var manifestFolders = []string{"manifests-v2", "manifests"}

// portSign is how newer versions write the colon of a host with a port, which some file systems do not take.
const portSign = "%3A"

var digest = regexp.MustCompile(`^sha256[:-]([0-9a-fA-F]{64})$`)

// store is an Ollama store: a folder with manifests and blobs/.
type store string

// homes are where a folder may hold a store: itself; its models/ when it is what Ollama calls its home, as in a
// container's volume at /root/.ollama; or deeper, when it is a whole user's.
func homes(folder string) []store {
	return []store{store(folder), store(filepath.Join(folder, "models")), store(filepath.Join(folder, ".ollama", "models"))}
}

// stores are those of a folder that are there.
func stores(folder string) []store {
	var found []store
	for _, candidate := range homes(folder) {
		for _, manifests := range manifestFolders {
			if info, err := os.Stat(filepath.Join(string(candidate), manifests)); err == nil && info.IsDir() {
				found = append(found, candidate)
				break
			}
		}
	}
	return found
}

// names lists what the store has manifests for, each once.
func (s store) names() []string {
	var names []string
	for _, folder := range manifestFolders {
		paths, _ := fs.Glob(os.DirFS(string(s)), path.Join(folder, "*/*/*/*"))
		for _, found := range paths {
			parts := strings.Split(found, "/")
			host := strings.ReplaceAll(parts[1], portSign, ":")
			r := reference{host, parts[2], parts[3], parts[4]}.canonical()
			if r.isValid() && !contains(names, r.String()) {
				names = append(names, r.String())
			}
		}
	}
	return names
}

// find returns the model's blob; the error is fs.ErrNotExist when the store does not know the name.
func (s store) find(r reference) (model, error) {
	file, err := s.locate(r)
	if err != nil {
		return model{}, err
	}
	layers, err := s.layers(r, file)
	if err != nil {
		return model{}, err
	}
	chosen, err := manifest{Layers: layers}.model(r)
	if errors.Is(err, errNoModel) {
		return model{}, fail(wrongBytes, "the manifest %s names no model", file)
	} else if err != nil {
		return model{}, err
	}
	blob, err := s.blob(chosen)
	if hidden := s.hides(chosen); err != nil && hidden != nil {
		return model{}, fail(statusOf(hidden), "%s: its blob: %v", r, hidden)
	} else if err != nil {
		return model{}, fail(statusOf(err), "%s: %v: ollama pull %s", r, err, r)
	}
	return model{name: r.String(), path: blob, where: fmt.Sprintf("%s of the Ollama store %s", filepath.Base(blob), s)}, nil
}

// hides is what keeps a layer's file from being read where it is.
func (s store) hides(l layer) error {
	file, err := s.path(l.Digest)
	if err != nil {
		return nil
	}
	return obstacle(file)
}

// locate returns the file of a name's manifest. A link that leads nowhere is as good as none, if there is another.
func (s store) locate(r reference) (string, error) {
	lost := ""
	for _, file := range s.places(r) {
		if _, err := os.Stat(file); err == nil {
			return file, nil
		} else if !errors.Is(err, fs.ErrNotExist) {
			return "", unreadable(file, err)
		}
		if _, err := os.Lstat(file); err == nil && lost == "" {
			lost = file
		}
	}
	if lost != "" {
		return "", fail(notFound, "%s: its manifest: %v; or ollama pull %s", r, obstacle(lost), r)
	}
	return "", fs.ErrNotExist
}

// places are where a name's manifest may be, the newest first.
func (s store) places(r reference) []string {
	hosts := []string{r.host}
	if r.host == ollamaHost {
		hosts = []string{ollamaSite, ollamaHost}
	} else if strings.Contains(r.host, ":") {
		hosts = []string{strings.ReplaceAll(r.host, ":", portSign), r.host}
	}
	var files []string
	for _, folder := range manifestFolders {
		for _, host := range hosts {
			files = append(files, filepath.Join(string(s), folder, host, r.namespace, r.name, r.tag))
		}
	}
	return files
}

// layers are those of a manifest, or of the first one of a list that llama-server can read and that is here: Ollama
// pulls only the one that it runs.
func (s store) layers(r reference, file string) ([]layer, error) {
	whole, err := readManifest(file)
	if err != nil || whole.MediaType != manifestList {
		return whole.Layers, err
	}
	readable := whole.readable()
	for _, each := range readable {
		if each.Digest == "" {
			return each.Layers, nil
		}
		blob, err := s.path(each.Digest)
		if err != nil {
			return nil, fail(wrongBytes, "the manifest %s is damaged: it %v", file, err)
		}
		if each, err = readManifest(blob); !errors.Is(err, fs.ErrNotExist) {
			return each.Layers, err
		}
	}
	if len(readable) == 0 {
		return nil, fail(notFound, "%s is not there as GGUF, only for other programs than llama-server: %s", r, file)
	}
	return nil, fail(notFound, "%s: what its manifest %s lists as GGUF is missing: ollama pull %s", r, file, r)
}

// path is where a blob is. A digest is part of that path, so it must be nothing else.
func (s store) path(named string) (string, error) {
	hex := digest.FindStringSubmatch(named)
	if hex == nil {
		return "", fail(wrongBytes, "names %q, which is no SHA-256", named)
	}
	return filepath.Join(string(s), "blobs", "sha256-"+strings.ToLower(hex[1])), nil
}

// blob is a layer's file, which must be there and whole.
func (s store) blob(l layer) (string, error) {
	file, err := s.path(l.Digest)
	if err != nil {
		return "", fail(statusOf(err), "its manifest %v", err)
	}
	info, err := os.Stat(file)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", fail(notFound, "its blob %s is missing", file)
	case err != nil:
		return "", unreadable(file, err)
	case !info.Mode().IsRegular():
		return "", fail(wrongBytes, "its blob %s is not a file", file)
	case info.Size() != l.Size:
		return "", fail(wrongBytes, "its blob %s has %d bytes instead of %d", file, info.Size(), l.Size)
	}
	return file, nil
}
