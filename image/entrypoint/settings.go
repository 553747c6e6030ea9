package main

import (
	"regexp"
	"strconv"
	"strings"
)

// settings are the entrypoint's own environment variables, checked.
type settings struct {
	model      string   // MODEL, or what --model says
	sha256     string   // MODEL_SHA256, 64 hex digits in lower case, or empty
	modelsDir  string   // MODELS_DIR
	cacheDir   string   // MODEL_CACHE
	mode       string   // MODE
	pooling    string   // POOLING, or empty
	context    int      // CONTEXT, tokens of one request, or 0
	truncate   bool     // TRUNCATE what OpenAI's clients send
	prefix     string   // PREFIX of each text that is embedded
	origins    []string // ORIGINS whose pages may ask
	hub        hub      // HF_ENDPOINT and HF_TOKEN
	dimensions int      // DIMENSIONS that a client expects of an embedding, or 0
}

const (
	auto       = "auto"
	chat       = "chat"
	embeddings = "embeddings"
	reranking  = "reranking"
)

var hexDigits = regexp.MustCompile(`^[0-9a-f]{64}$`)

// readSettings checks what can be checked before a model is looked for.
func readSettings(g given) (settings, error) {
	text := func(name, otherwise string) string {
		if value, set := g.variable(name); set {
			return value
		}
		return otherwise
	}
	s := settings{
		model:     text("MODEL", ""),
		sha256:    strings.ToLower(text("MODEL_SHA256", "")),
		modelsDir: text("MODELS_DIR", "/models"),
		mode:      text("MODE", auto),
		pooling:   text("POOLING", ""),
	}
	s.prefix = text("PREFIX", "")
	switch cuts := text("TRUNCATE", "false"); cuts {
	case "true", "1":
		s.truncate = true
	case "false", "0":
	default:
		return s, fail(misconfigured, "TRUNCATE=%s is neither true nor false", cuts)
	}
	isBetween := func(sign rune) bool { return sign == ',' || sign == ' ' }
	s.origins = strings.FieldsFunc(text("ORIGINS", strings.Join(localOrigins, ",")), isBetween)
	s.cacheDir = text("MODEL_CACHE", s.modelsDir)
	if own, set := g.lookup(optModel); set {
		s.model = own
	}
	if s.sha256 != "" && !hexDigits.MatchString(s.sha256) {
		return s, fail(misconfigured, "MODEL_SHA256=%s is not 64 hex digits", s.sha256)
	}
	if !contains([]string{auto, chat, embeddings, reranking}, s.mode) {
		return s, fail(misconfigured, "MODE=%s is none of auto, chat, embeddings and reranking", s.mode)
	}
	if s.pooling != "" && !contains([]string{"mean", "cls", "last"}, s.pooling) {
		return s, fail(misconfigured, "POOLING=%s is none of mean, cls and last", s.pooling)
	}
	if port, set := g.lookup(optPort); set && !isPort(port) {
		return s, fail(misconfigured, "the port %q (LLAMA_ARG_PORT, --port) is not a number from 1 to 65535", port)
	}
	var err error
	if s.hub, err = readHub(g); err != nil {
		return s, err
	}
	if s.context, err = count(g, "CONTEXT"); err != nil {
		return s, err
	}
	s.dimensions, err = count(g, "DIMENSIONS")
	return s, err
}

func isPort(text string) bool {
	port, err := strconv.Atoi(text)
	return err == nil && port >= 1 && port <= 65535
}

// count is a variable's value as a number above 0; 0 if it is not set.
func count(g given, name string) (int, error) {
	value, set := g.variable(name)
	if !set {
		return 0, nil
	}
	number, err := strconv.Atoi(value)
	if err != nil || number < 1 {
		return 0, fail(misconfigured, "%s=%s is not a number above 0", name, value)
	}
	return number, nil
}
