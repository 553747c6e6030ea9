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
	where string // for people: which of the places it was found in
}

// find takes the model that is asked for from where it is, or downloads it.
func find(ctx context.Context, s settings) (model, error) {
	if strings.HasPrefix(s.model, "http://") || strings.HasPrefix(s.model, "https://") {
		return fromURL(ctx, s)
	}
	m, err := findHere(s)
	if err == nil && s.sha256 != "" {
		err = m.verify(ctx, s.sha256)
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
	return model{name: stem(path), path: path, where: path}, nil
}

// fromFolder looks for a name in the models' folder: first among plain files, then in an Ollama store.
func fromFolder(s settings) (model, error) {
	if inside := filepath.Clean(s.model); inside != ".." && !strings.HasPrefix(inside, "../") {
		for _, path := range []string{filepath.Join(s.modelsDir, inside), filepath.Join(s.modelsDir, inside+".gguf")} {
			if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() {
				return fromPath(path)
			}
		}
	}
	reference, err := parseReference(s.model)
	if err == nil {
		for _, store := range stores(s.modelsDir) {
			found, err := store.find(reference)
			if !errors.Is(err, fs.ErrNotExist) {
				return found, err
			}
		}
	}
	return model{}, fail(notFound, "there is no model %s in %s: %s", s.model, s.modelsDir, offer(s.modelsDir))
}

// stem is a file's name without its folder and ending.
func stem(path string) string {
	return strings.TrimSuffix(filepath.Base(path), ".gguf")
}

// unreadable turns an error of the file system into one that says what to do.
func unreadable(path string, err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fail(notFound, "there is no %s", path)
	case errors.Is(err, fs.ErrPermission):
		return fail(misconfigured, "user %d may not read %s: chmod it, or run the container as its owner", os.Getuid(), path)
	}
	return fail(failed, "cannot read %s: %v", path, err)
}
