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
	return m, fetchModel(ctx, m, address, s.sha256, bySetting, s.hub)
}

// fetchModel downloads a model's file unless it is there, or comes meanwhile.
func fetchModel(ctx context.Context, m model, address *url.URL, sha, by string, h hub) error {
	part, err := openPart(ctx, m.path, sha)
	if err != nil || part == nil {
		return err
	}
	part.by = by
	d := &download{url: address, name: m.name, part: part, hub: h}
	if err := d.complete(ctx); err != nil {
		if part.have == 0 {
			part.discard()
		}
		return err
	}
	return part.publish()
}
