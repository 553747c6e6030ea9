package main

import (
	"fmt"
	"regexp"
	"strings"
)

// loader is an option by which llama-server would download a model itself. It was compiled without that, and nothing
// makes such a download trustworthy.
type loader struct {
	option
	instead func(value string) string // what to set here for the same model
}

var loaders = []loader{
	{
		option{env: "LLAMA_ARG_HF_REPO", names: []string{"--hf-repo", "-hf", "-hfr"}},
		func(value string) string { return "MODEL=hf.co/" + value },
	},
	{
		option{env: "LLAMA_ARG_HF_FILE", names: []string{"--hf-file", "-hff"}},
		func(string) string { return "MODEL=hf.co/USER/REPOSITORY:QUANTISATION" },
	},
	{
		option{env: "LLAMA_ARG_MODEL_URL", names: []string{"--model-url", "-mu"}},
		func(value string) string { return "MODEL=" + value + ", and MODEL_SHA256" },
	},
	{
		option{env: "LLAMA_ARG_DOCKER_REPO", names: []string{"--docker-repo", "-dr"}},
		func(string) string { return "MODEL to a name in an Ollama store, a file or a URL" },
	},
}

// preset are llama-server's names of models that it would download.
var preset = regexp.MustCompile(`^--(embd|fim|tts|gpt-oss|vision|gemma)-.*-?default$`)

// checkLoaders refuses what only another build of llama-server can do, with what does the same here.
func checkLoaders(g given) error {
	for _, l := range loaders {
		if value, set := g.lookup(l.option); set {
			return fail(misconfigured, "%s: this llama-server downloads nothing by itself: set %s instead", g.spelt(l.option), l.instead(value))
		}
	}
	for _, arg := range g.args {
		if preset.MatchString(canonical(arg)) {
			return fail(misconfigured, "%s: this llama-server downloads nothing by itself: set MODEL=hf.co/USER/REPOSITORY:QUANTISATION instead", arg)
		}
	}
	return nil
}

// spelt is an option as the user set it: the argument or the variable, with its value.
func (g given) spelt(o option) string {
	value, _ := g.lookup(o)
	for i := len(g.args) - 1; i >= 0; i-- {
		if contains(o.names, canonical(g.args[i])) {
			if o.isFlag {
				return g.args[i]
			}
			return strings.TrimSpace(g.args[i] + " " + value)
		}
	}
	return o.env + "=" + value
}

// overridden are settings of the entrypoint's that one of llama-server's beats, each with both in a line: a variable
// that was left over from another image would decide without a word.
func overridden(g given) []string {
	var lines []string
	for _, pair := range []struct {
		name string
		by   option
	}{
		{"MODEL", optModel}, {"CONTEXT", optContext}, {"POOLING", optPooling}, {"MODE", optEmbeddings}, {"MODE", optReranking},
	} {
		own, isSet := g.variable(pair.name)
		other, wins := g.lookup(pair.by)
		isSame := own == other || pair.name == "MODE" && (own == auto || g.isOn(pair.by) == (own == modeOf(pair.by)))
		if isSet && wins && !isSame {
			lines = append(lines, fmt.Sprintf("WARNING: %s wins over %s=%s", g.spelt(pair.by), pair.name, own))
		}
	}
	return lines
}

// modeOf is the mode that an option stands for.
func modeOf(o option) string {
	if o.env == optReranking.env {
		return reranking
	}
	return embeddings
}
