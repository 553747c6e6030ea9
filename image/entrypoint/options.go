package main

import "strings"

// option is an option of llama-server that the entrypoint sets or has to know.
type option struct {
	env    string
	names  []string // its spellings; the first one is written
	isFlag bool
}

// Names and variables: common/arg.cpp of v0.5.0. The server takes variables first, then arguments, of which the last
// one counts.
var (
	optAlias      = option{env: "LLAMA_ARG_ALIAS", names: []string{"--alias", "-a"}}
	optAPIKey     = option{env: "LLAMA_API_KEY", names: []string{"--api-key"}}
	optAPIKeyFile = option{names: []string{"--api-key-file"}}
	optCache      = option{env: "LLAMA_ARG_CACHE_RAM", names: []string{"--cache-ram", "-cram"}}
	optBatch      = option{env: "LLAMA_ARG_BATCH", names: []string{"--batch-size", "-b"}}
	optContext    = option{env: "LLAMA_ARG_CTX_SIZE", names: []string{"--ctx-size", "-c"}}
	optEmbeddings = option{env: "LLAMA_ARG_EMBEDDINGS", names: []string{"--embeddings", "--embedding"}, isFlag: true}
	optHFToken    = option{env: "HF_TOKEN", names: []string{"--hf-token", "-hft"}}
	optHost       = option{env: "LLAMA_ARG_HOST", names: []string{"--host"}}
	optJinja      = option{env: "LLAMA_ARG_JINJA", names: []string{"--jinja"}, isFlag: true}
	optNoJinja    = option{names: []string{"--no-jinja"}, isFlag: true}
	optMetrics    = option{env: "LLAMA_ARG_ENDPOINT_METRICS", names: []string{"--metrics"}, isFlag: true}
	optModel      = option{env: "LLAMA_ARG_MODEL", names: []string{"--model", "-m"}}
	optParallel   = option{env: "LLAMA_ARG_N_PARALLEL", names: []string{"--parallel", "-np"}}
	optPooling    = option{env: "LLAMA_ARG_POOLING", names: []string{"--pooling"}}
	optPort       = option{env: "LLAMA_ARG_PORT", names: []string{"--port"}}
	optReranking  = option{env: "LLAMA_ARG_RERANKING", names: []string{"--reranking", "--rerank"}, isFlag: true}
	optHTTP       = option{env: "LLAMA_ARG_THREADS_HTTP", names: []string{"--threads-http"}}
	optFlash      = option{env: "LLAMA_ARG_FLASH_ATTN", names: []string{"--flash-attn", "-fa"}}
	optThreads    = option{env: "LLAMA_ARG_THREADS", names: []string{"--threads", "-t"}}
	optUBatch     = option{env: "LLAMA_ARG_UBATCH", names: []string{"--ubatch-size", "-ub"}}
)

// asking are options that print something and end; they need no model.
var asking = []string{"--help", "-h", "--usage", "--version", "--list-devices", "--completion-bash"}

// given is what the container was started with: the arguments after the entrypoint's name, and NAME=value pairs.
type given struct {
	args    []string
	environ []string
}

// lookup returns what the user set an option to, and whether they did. A flag is "1" when it is on.
func (g given) lookup(o option) (string, bool) {
	for i := len(g.args) - 1; i >= 0; i-- {
		if !contains(o.names, canonical(g.args[i])) {
			continue
		}
		if o.isFlag {
			return "1", true
		}
		if i+1 < len(g.args) {
			return g.args[i+1], true
		}
		return "", true
	}
	if o.env == "" {
		return "", false
	}
	return g.variable(o.env)
}

// isOn tells whether a flag is set, as the server decides it.
func (g given) isOn(o option) bool {
	value, _ := g.lookup(o)
	return contains([]string{"1", "true", "on", "enabled"}, value)
}

// isOff tells whether the user turned something off that the server does by itself.
func (g given) isOff(o option) bool {
	value, _ := g.lookup(o)
	return contains([]string{"0", "false", "off", "disabled"}, value)
}

// variable is an environment variable's value. An empty one counts as not set: compose files write `NAME: ${NAME:-}`.
func (g given) variable(name string) (string, bool) {
	for i := len(g.environ) - 1; i >= 0; i-- {
		if key, value, _ := strings.Cut(g.environ[i], "="); key == name {
			return value, value != ""
		}
	}
	return "", false
}

func (g given) onlyAsks() bool {
	for _, arg := range g.args {
		if contains(asking, canonical(arg)) {
			return true
		}
	}
	return false
}

// canonical spells an argument as the server does: `--ctx_size` is `--ctx-size`.
func canonical(arg string) string {
	if strings.HasPrefix(arg, "--") {
		return strings.ReplaceAll(arg, "_", "-")
	}
	return arg
}

func contains(all []string, one string) bool {
	for _, each := range all {
		if each == one {
			return true
		}
	}
	return false
}
