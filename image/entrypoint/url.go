package main

import (
	"context"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"regexp"
)

var unusual = regexp.MustCompile(`[^A-Za-z0-9._-]+`)

// fromURL downloads the model unless it is there already. A file gets its final name, which begins with its SHA-256,
// only when it is complete and has that hash.
func fromURL(ctx context.Context, s settings) (model, error) {
	address, err := url.Parse(s.model)
	if err != nil || address.Host == "" {
		return model{}, fail(misconfigured, "MODEL=%s is not a URL with a host", s.model)
	}
	if s.sha256 == "" {
		return model{}, fail(misconfigured, "MODEL_SHA256 is not set: only its hash makes a download trustworthy")
	}
	file := unusual.ReplaceAllString(path.Base(address.Path), "_")
	if file == "." || file == "_" {
		file = "model.gguf"
	}
	m := model{name: stem(file), path: filepath.Join(s.cacheDir, s.sha256+"-"+file)}
	m.where = m.path
	if info, err := os.Stat(m.path); err == nil && info.Mode().IsRegular() {
		return m, nil
	}
	part, err := openPart(ctx, m.path, s.sha256)
	if err != nil || part == nil {
		return m, err
	}
	d := &download{url: address, name: m.name, part: part}
	if err := d.complete(ctx); err != nil {
		if part.have == 0 {
			part.discard()
		}
		return model{}, err
	}
	return m, part.publish()
}
