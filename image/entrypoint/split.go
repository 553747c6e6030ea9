package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

// partName is how llama.cpp's gguf-split names the parts of a model; llama-server is given the first and finds the
// others beside it.
var partName = regexp.MustCompile(`^(.+)-(\d{5})-of-(\d{5})\.gguf$`)

// split is a model in several files.
type split struct {
	base  string // path of its parts, without what tells them apart
	count int
}

// splitOf reads a part's name, and which one it is.
func splitOf(path string) (s split, number int, found bool) {
	words := partName.FindStringSubmatch(filepath.Base(path))
	if words == nil {
		return split{}, 0, false
	}
	number, _ = strconv.Atoi(words[2])
	count, _ := strconv.Atoi(words[3])
	return split{filepath.Join(filepath.Dir(path), words[1]), count}, number, count > 1
}

// splitAt looks for a model in parts under the name that they have in common; one with all of them comes first.
func splitAt(base string) (split, bool) {
	var found []split
	paths, _ := filepath.Glob(escaped(base) + "-?????-of-?????.gguf")
	for _, path := range paths {
		if s, _, is := splitOf(path); is {
			if len(s.missing()) == 0 {
				return s, true
			}
			found = append(found, s)
		}
	}
	if len(found) == 0 {
		return split{}, false
	}
	return found[0], true
}

// escaped is a path in which a pattern's signs mean themselves.
func escaped(path string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(path)
}

// part is the path of a part, counted from 1.
func (s split) part(number int) string {
	return fmt.Sprintf("%s-%05d-of-%05d.gguf", s.base, number, s.count)
}

// missing are the names of the parts that are not there.
func (s split) missing() []string {
	var names []string
	for number := 1; number <= s.count; number++ {
		if info, err := os.Stat(s.part(number)); err != nil || !info.Mode().IsRegular() {
			names = append(names, filepath.Base(s.part(number)))
		}
	}
	return names
}

// model is the whole of it.
func (s split) model() (model, error) {
	if missing := s.missing(); len(missing) > 0 {
		if err := obstacle(filepath.Join(filepath.Dir(s.base), missing[0])); err != nil {
			return model{}, err
		}
		if most := 4; len(missing) > most {
			missing = append(missing[:most], fmt.Sprintf("%d more", len(missing)-most))
		}
		return model{}, fail(notFound, "%s is in %d parts, of which are missing beside the others: %s", s.base, s.count,
			strings.Join(missing, ", "))
	}
	m := model{name: filepath.Base(s.base), path: s.part(1), where: fmt.Sprintf("%s and the %d parts after it", s.part(1), s.count-1)}
	for number := 2; number <= s.count; number++ {
		m.rest = append(m.rest, s.part(number))
	}
	return m, nil
}

// files are a model's, which are several for one in parts.
func (m model) files() []string { return append([]string{m.path}, m.rest...) }

// header reads what a model's first file says of itself, and counts the others with it. One that is a part of several
// has to lie with the others.
func (m model) header() (*headerReader, error) {
	whole, err := readHeaders(m.files())
	if err != nil {
		return nil, err
	}
	if count := whole.numbers["split.count"]; count > uint64(len(m.files())) {
		return nil, fail(notFound, "%s is one of %d parts of a model: put all of them into one folder, named "+
			"NAME-00001-of-%05d.gguf and so on, and set MODEL to NAME", m.path, count, count)
	}
	return whole, nil
}

// readHeaders reads the files of one model; what they are about stands in the first one.
func readHeaders(paths []string) (*headerReader, error) {
	whole, err := readHeader(paths[0])
	for i := 1; err == nil && i < len(paths); i++ {
		var part *headerReader
		if part, err = readHeader(paths[i]); err == nil {
			whole.elements += part.elements
			whole.size += part.size
		}
	}
	return whole, err
}

// verifyWhole compares a model with the hash of its file.
func (m model) verifyWhole(ctx context.Context, want string) error {
	if len(m.rest) > 0 {
		return fail(misconfigured, "MODEL_SHA256 is of one file, and %s is in %d: leave it out", m.name, len(m.files()))
	}
	return m.verify(ctx, want)
}
