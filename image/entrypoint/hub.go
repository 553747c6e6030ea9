package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
)

// hubHosts are how people write Hugging Face's hub in front of a model's name.
var hubHosts = []string{"hf.co", "huggingface.co", "hub.hf.co"}

const defaultHub = "https://huggingface.co"

// hub is where files of hf.co/USER/REPOSITORY come from: HF_ENDPOINT, and HF_TOKEN for what is not for everybody.
type hub struct {
	endpoint *url.URL
	token    string
}

// readHub reads the variables that Hugging Face's own tools read.
func readHub(g given) (hub, error) {
	text, set := g.variable("HF_ENDPOINT")
	if !set {
		text = defaultHub
	}
	endpoint, err := url.Parse(strings.TrimSuffix(text, "/"))
	if err != nil || endpoint.Host == "" || endpoint.Scheme != "http" && endpoint.Scheme != "https" {
		return hub{}, fail(misconfigured, "HF_ENDPOINT=%s is not an http or https URL", text)
	}
	token, _ := g.lookup(optHFToken)
	return hub{endpoint, token}, nil
}

// authorise adds the token to a request to the hub itself, and to nobody else: what the hub leads on to has a URL that
// is signed already.
func (h hub) authorise(r *http.Request) {
	if h.token != "" && r.URL.Host == h.endpoint.Host {
		r.Header.Set("Authorization", "Bearer "+h.token)
	}
}

// isOfHub tells whether a name is that of a file on the hub.
func (r reference) isOfHub() bool { return contains(hubHosts, strings.ToLower(r.host)) }

// canonicalHub gives the hub's hosts one name.
func (r reference) canonicalHub() reference {
	if r.isOfHub() {
		r.host = hubHosts[0]
	}
	return r
}

// fromHub downloads hf.co/USER/REPOSITORY:QUANT into an Ollama store, where it is found at the next start as if Ollama
// had pulled it: what its manifest says on this first use is what holds from now on.
func fromHub(ctx context.Context, s settings, r reference) (model, error) {
	into := store(s.cacheDir)
	text, chosen, err := s.hub.manifest(ctx, r)
	if err != nil {
		return model{}, err
	}
	hex := strings.ToLower(digest.FindStringSubmatch(chosen.Digest)[1])
	if s.sha256 != "" && s.sha256 != hex {
		return model{}, fail(wrongBytes, "%s has SHA-256 %s on %s, MODEL_SHA256 says %s", r, hex, s.hub.endpoint.Host, s.sha256)
	}
	blob, err := into.path(chosen.Digest)
	if err != nil {
		return model{}, err
	}
	if err := os.MkdirAll(filepath.Dir(blob), 0o755); err != nil {
		return model{}, unwritable(s.cacheDir, err)
	}
	m := model{name: s.model, path: blob, where: fmt.Sprintf("%s of %s", filepath.Base(blob), s.cacheDir)}
	address := s.hub.of(r, "blobs", chosen.Digest)
	if err := fetchModel(ctx, m, address, hex, "its manifest there", s.hub); err != nil {
		return model{}, err
	}
	if s.sha256 == "" {
		say("%s: pinned: from now on it is SHA-256 %s here; MODEL_SHA256=%s pins it elsewhere too", r, hex, hex)
	}
	return m, into.keep(r, text)
}

// of is the address of something that belongs to a model.
func (h hub) of(r reference, kind, what string) *url.URL {
	whole := *h.endpoint
	whole.Path = strings.TrimSuffix(whole.Path, "/") + fmt.Sprintf("/v2/%s/%s/%s/%s", r.namespace, r.name, kind, what)
	return &whole
}

// manifest asks which file a name means, in the form that Ollama asks the hub in.
func (h hub) manifest(ctx context.Context, r reference) (text []byte, chosen layer, err error) {
	address := h.of(r, "manifests", r.tag)
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address.String(), nil)
	if err != nil {
		return nil, layer{}, fail(misconfigured, "%s is not a URL: %v", address, err)
	}
	request.Header.Set("User-Agent", "pollex-entrypoint")
	request.Header.Set("Accept", "application/vnd.docker.distribution.manifest.v2+json")
	h.authorise(request)
	response, err := client.Do(request)
	if err != nil {
		return nil, layer{}, fail(unreachable, "%s cannot be reached for %s: %v", h.endpoint.Host, r, withoutURL(err))
	}
	defer response.Body.Close()
	text, err = io.ReadAll(io.LimitReader(response.Body, manifestLimit))
	if err != nil {
		return nil, layer{}, fail(unreachable, "%s broke off: %v", address, withoutURL(err))
	}
	if response.StatusCode != http.StatusOK {
		return nil, layer{}, h.refusal(r, response, text)
	}
	var found manifest
	if err := json.Unmarshal(text, &found); err != nil {
		return nil, layer{}, fail(unreachable, "%s does not answer with a manifest: %v", address, err)
	}
	one, err := found.model(r)
	if err == nil && digest.FindStringSubmatch(one.Digest) == nil {
		err = fail(wrongBytes, "%s names %q, which is no SHA-256", address, one.Digest)
	}
	return text, one, err
}

// refusal says why the hub does not give a file, in its words where it has some.
func (h hub) refusal(r reference, response *http.Response, text []byte) error {
	why := response.Status
	var said struct{ Error string }
	if json.Unmarshal(text, &said) == nil && said.Error != "" {
		why += ": " + said.Error
	}
	switch response.StatusCode {
	case http.StatusUnauthorized, http.StatusForbidden:
		remedy := "HF_TOKEN may not read it, or its licence is not accepted yet"
		if h.token == "" {
			remedy = "set HF_TOKEN if it is not for everybody"
		}
		return fail(unreachable, "%s refuses %s (%s): %s; hubs answer so for names that do not exist, too", h.endpoint.Host, r, why, remedy)
	case http.StatusNotFound, http.StatusBadRequest:
		return fail(notFound, "%s has no %s (%s): the part after the colon is a quantisation that the repository has as GGUF", h.endpoint.Host, r, why)
	}
	return fail(unreachable, "%s answers %s for %s", h.endpoint.Host, why, r)
}

// keep writes a manifest as Ollama does.
func (s store) keep(r reference, text []byte) error {
	final := filepath.Join(string(s), "manifests", r.host, r.namespace, r.name, r.tag)
	if err := os.MkdirAll(filepath.Dir(final), 0o755); err != nil {
		return unwritable(string(s), err)
	}
	part, err := os.CreateTemp(filepath.Dir(final), ".new-*")
	if err != nil {
		return unwritable(filepath.Dir(final), err)
	}
	_, err = part.Write(text)
	for _, step := range []func() error{
		func() error { return part.Chmod(0o644) }, part.Sync, part.Close,
		func() error { return os.Rename(part.Name(), final) },
	} {
		if err == nil {
			err = step()
		}
	}
	if err != nil {
		os.Remove(part.Name())
		return unwritable(filepath.Dir(final), err)
	}
	return nil
}

// model is the layer with a model's file.
func (m manifest) model(r reference) (layer, error) {
	var chosen *layer
	for i := range m.Layers {
		switch kind, _, _ := strings.Cut(m.Layers[i].MediaType, ";"); kind {
		case modelLayer:
			if chosen == nil {
				chosen = &m.Layers[i]
			}
		case adapterLayer:
			return layer{}, fail(misconfigured, "%s is a base model with an adapter, which would be left out: give both to "+
				"llama-server yourself, with --model and --lora", r)
		}
	}
	if chosen == nil {
		return layer{}, errNoModel
	}
	return *chosen, nil
}

var errNoModel = errors.New("names no model")
