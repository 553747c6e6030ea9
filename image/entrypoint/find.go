package main

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// model is a file that llama-server can be given.
type model struct {
	name  string // as clients may call it
	path  string
	rest  []string // the parts after the first one, of a model in parts
	where string   // for people: which of the places it was found in
}

// find takes the model that is asked for from where it is, or downloads it.
func find(ctx context.Context, s settings) (model, error) {
	if strings.HasPrefix(s.model, "http://") || strings.HasPrefix(s.model, "https://") {
		return fromURL(ctx, s)
	}
	m, err := findHere(s)
	if errors.Is(err, fs.ErrNotExist) {
		if r, isName := parseReference(s.model); isName == nil && r.isOfHub() {
			return fromHub(ctx, s, r)
		}
		return m, fail(notFound, "there is no model %s in %s: %s", s.model, s.modelsDir, offer(s.modelsDir))
	}
	if err == nil && s.sha256 != "" {
		err = m.verifyWhole(ctx, s.sha256)
	}
	return m, err
}

func findHere(s settings) (model, error) {
	switch {
	case s.model == "":
		return model{}, fail(misconfigured, "MODEL is not set: %s", offer(s.modelsDir))
	case strings.Contains(s.model, "://"):
		return model{}, fail(misconfigured, "MODEL=%s is not an http or https URL", s.model)
	case filepath.IsAbs(s.model):
		return fromPath(s.model)
	}
	return fromFolder(s)
}

// fromPath takes a file where it lies.
func fromPath(path string) (model, error) {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return model{}, unreadable(path, err)
	case !info.Mode().IsRegular():
		return model{}, fail(misconfigured, "%s is not a file: %s", path, offer(path))
	}
	if whole, _, isPart := splitOf(path); isPart {
		return whole.model()
	}
	return model{name: stem(path), path: path, where: path}, nil
}

// fromFolder looks for a name in the models' folder: first among plain files, then in an Ollama store, there or where
// downloads go. The error is fs.ErrNotExist when nothing that can be seen has the name.
func fromFolder(s settings) (model, error) {
	var looked []string
	if inside := filepath.Clean(s.model); inside != ".." && !strings.HasPrefix(inside, "../") {
		whole := filepath.Join(s.modelsDir, inside)
		looked = []string{whole, whole + ".gguf"}
		for _, path := range looked {
			if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() {
				return fromPath(path)
			}
		}
		if parts, found := splitAt(strings.TrimSuffix(whole, ".gguf")); found {
			return parts.model()
		}
	}
	if reference, err := parseReference(s.model); err == nil {
		for _, place := range append(homes(s.modelsDir), homes(s.cacheDir)...) {
			found, err := place.find(reference)
			if !errors.Is(err, fs.ErrNotExist) {
				found.name = s.model
				return found, err
			}
			looked = append(looked, place.places(reference)...)
		}
	}
	for _, path := range looked {
		if err := obstacle(path); err != nil {
			return model{}, err
		}
	}
	return model{}, fs.ErrNotExist
}

// stem is a file's name without its folder and ending.
func stem(path string) string {
	return strings.TrimSuffix(filepath.Base(path), ".gguf")
}

// unreadable turns an error of the file system into one that says what to do.
func unreadable(path string, err error) error {
	if why := obstacle(path); why != nil {
		return why
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fail(notFound, "there is no %s", path)
	case errors.Is(err, fs.ErrPermission):
		return fail(misconfigured, "user %d may not read %s: chmod it, or run the container as its owner", os.Getuid(), path)
	}
	return fail(failed, "cannot read %s: %v", path, err)
}
