package main

import (
	"fmt"
	"path"
	"regexp"
	"strings"
)

// What Ollama leaves out of a name (types/model/name.go of github.com/ollama/ollama).
const (
	ollamaHost      = "registry.ollama.ai"
	ollamaNamespace = "library"
	ollamaTag       = "latest"
)

// ollamaSite is another name of ollamaHost, under which newer versions keep the same models (manifest/paths.go there).
const ollamaSite = "ollama.com"

var (
	namePart = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]*$`)
	hostPart = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]*(:[0-9]+)?$`)
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
	if !r.isValid() {
		return r, fmt.Errorf("%s is not a model's name", text)
	}
	return r.canonical(), nil
}

// isValid tells whether no part leads anywhere but to the next folder.
func (r reference) isValid() bool {
	return hostPart.MatchString(r.host) && namePart.MatchString(r.namespace) && namePart.MatchString(r.name) &&
		namePart.MatchString(r.tag)
}

// canonical gives the hosts that are the same one name.
func (r reference) canonical() reference {
	if strings.EqualFold(r.host, ollamaHost) || strings.EqualFold(r.host, ollamaSite) {
		r.host = ollamaHost
	}
	return r.canonicalHub()
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
