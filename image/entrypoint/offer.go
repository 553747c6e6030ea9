package main

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strings"
)

// offered is how many names an error lists at most.
const offered = 20

// offer says which names of models a folder has, for whoever gave a wrong one.
func offer(folder string) string {
	if err := obstacle(folder); err != nil {
		return err.Error()
	}
	if _, err := os.ReadDir(folder); err != nil {
		return fmt.Sprintf("%s cannot be read, is a volume mounted there? (%v)", folder, err)
	}
	names := plainFiles(folder)
	for _, store := range stores(folder) {
		names = append(names, store.names()...)
	}
	sort.Strings(names)
	switch more := len(names) - offered; {
	case len(names) == 0:
		return "it holds neither GGUF files nor an Ollama store"
	case more > 0:
		return fmt.Sprintf("there are %s and %d more", strings.Join(names[:offered], ", "), more)
	}
	return "there are " + strings.Join(names, ", ")
}

// plainFiles are the *.gguf of a folder and of the folders in it, as MODEL takes them.
func plainFiles(folder string) []string {
	var names []string
	for _, pattern := range []string{"*.gguf", "*/*.gguf"} {
		paths, _ := fs.Glob(os.DirFS(folder), pattern)
		for _, path := range paths {
			name := strings.TrimSuffix(path, ".gguf")
			if whole, _, isPart := splitOf(path); isPart {
				name = whole.base
			}
			if !strings.HasPrefix(filepath.Base(path), ".") && !contains(names, name) {
				names = append(names, name)
			}
		}
	}
	return names
}
