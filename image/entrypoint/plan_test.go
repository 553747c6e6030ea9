package main

import (
	"strings"
	"testing"
)

var (
	nomic = gguf{architecture: "nomic-bert", context: 2048, dimensions: 768, pooling: "mean"}
	bert  = gguf{architecture: "bert", context: 512, dimensions: 1024}
	m3    = gguf{architecture: "bert", context: 8192, dimensions: 1024, pooling: "cls"}
	smol  = gguf{architecture: "llama", context: 8192, dimensions: 576}
	qwen  = gguf{architecture: "qwen2", context: 32768, dimensions: 1024, pooling: "last"}
	rank  = gguf{architecture: "bert", context: 512, pooling: "rank"}
)

// planned is a plan as text, for a model of a name, some variables and some arguments.
func planned(name string, header gguf, environ, args string) (string, string, error) {
	g := given{args: strings.Fields(args), environ: strings.Fields(environ)}
	s, err := readSettings(g)
	if err != nil {
		return "", "", err
	}
	p, err := makePlan(model{name: name, path: "/m"}, header, s, g, limits{})
	return strings.Join(p.args, " "), strings.Join(p.notes, "\n"), err
}

// If this fails, a model is served in the wrong mode, or with a pooling, context or batch that gives wrong vectors or
// lets the server abort.
func TestPlan(t *testing.T) {
	const start = "--model /m --alias x --host 0.0.0.0 --port 8080 --metrics --cache-ram 0 --threads-http "
	const common = start + "33 --parallel 1 "
	for _, c := range []struct {
		name          string
		header        gguf
		environ, args string
		want          string
	}{
		{"chat", smol, "", "", common + "--ctx-size 4096"},
		{"a small chat model", gguf{architecture: "llama", context: 2048}, "", "", common + "--ctx-size 2048"},
		{"a file that says nothing", gguf{}, "", "", common + "--ctx-size 4096"},
		{"every slot has its room", smol, "CONTEXT=1000", "-np 3", start + "35 --ctx-size 3000"},
		{"embeddings", nomic, "", "", common + "--ctx-size 2048 --embeddings --pooling mean --batch-size 2048 --ubatch-size 2048"},
		{"a long text is a choice", m3, "", "", common + "--ctx-size 2048 --embeddings --pooling cls --batch-size 2048 --ubatch-size 2048"},
		{"that can be made", m3, "CONTEXT=8192", "", common + "--ctx-size 8192 --embeddings --pooling cls --batch-size 8192 --ubatch-size 8192"},
		{"four at a time", nomic, "LLAMA_ARG_N_PARALLEL=4", "", start + "36 --ctx-size 8192 --embeddings --pooling mean --batch-size 2048 --ubatch-size 2048"},
		{"a context of the user's", nomic, "", "--ctx-size 2048 --parallel 4", start + "36 --embeddings --pooling mean --batch-size 512 --ubatch-size 512"},
		{"the model's own context", nomic, "LLAMA_ARG_CTX_SIZE=0", "-np 2", start + "34 --embeddings --pooling mean --batch-size 1024 --ubatch-size 1024"},
		{"more context than places", gguf{architecture: "bert", context: 512, pooling: "mean"}, "", "-c 4096", common + "--embeddings --pooling mean --batch-size 512 --ubatch-size 512"},
		{"POOLING wins over the file", nomic, "POOLING=cls", "", common + "--ctx-size 2048 --embeddings --pooling cls --batch-size 2048 --ubatch-size 2048"},
		{"an argument wins over POOLING", nomic, "POOLING=cls", "--pooling last", common + "--ctx-size 2048 --embeddings --batch-size 2048 --ubatch-size 2048"},
		{"a decoder that embeds", qwen, "", "", common + "--ctx-size 2048 --embeddings --pooling last --batch-size 2048 --ubatch-size 2048"},
		{"or chats", qwen, "MODE=chat", "", common + "--ctx-size 4096"},
		{"a chat model that embeds", smol, "MODE=embeddings POOLING=mean", "", common + "--ctx-size 2048 --embeddings --pooling mean --batch-size 2048 --ubatch-size 2048"},
		{"as the server's option says", smol, "LLAMA_ARG_EMBEDDINGS=true POOLING=mean", "", common + "--ctx-size 2048 --pooling mean --batch-size 2048 --ubatch-size 2048"},
		{"which may be off", smol, "LLAMA_ARG_EMBEDDINGS=0", "", common + "--ctx-size 4096"},
		{"a reranker on request", rank, "", "--reranking", common + "--ctx-size 512 --batch-size 512 --ubatch-size 512"},
		{"or as its file says", rank, "", "", common + "--ctx-size 512 --reranking --batch-size 512 --ubatch-size 512"},
		{"or by MODE", rank, "MODE=reranking", "", common + "--ctx-size 512 --reranking --batch-size 512 --ubatch-size 512"},
		{"everything given", smol, "LLAMA_ARG_HOST=:: LLAMA_ARG_PORT=9090", "-m /n -a y -c 5 --metrics --threads-http 4 --cache-ram 9 -np 1", ""},
		{"forty at a time", smol, "CONTEXT=100", "-np 40", start + "72 --ctx-size 4000"},
		{"spelt with underscores", smol, "", "--ctx_size 5", strings.TrimSpace(common)},
		{"empty is not given", smol, "LLAMA_ARG_PORT= CONTEXT= POOLING=", "", common + "--ctx-size 4096"},
	} {
		got, _, err := planned("x", c.header, c.environ, c.args)
		if got != c.want || err != nil {
			t.Errorf("%s:\n got %s\nwant %s\n%v", c.name, got, c.want, err)
		}
	}
}

// If this fails, mxbai and bge-m3 are pooled by their mean, or nomic by its first token, and every search is a little
// wrong.
func TestPoolingOfKnownModels(t *testing.T) {
	for name, want := range map[string]string{
		"nomic-embed-text":                   "mean",
		"nomic-embed-text:v1.5":              "mean",
		"nomic-embed-text-v1.5.Q8_0":         "mean",
		"nomic-embed-text-v2-moe":            "mean",
		"mxbai-embed-large":                  "cls",
		"mixedbread/mxbai-embed-large:335m":  "cls",
		"hf.co/mixedbread/MXBAI-Embed-Large": "cls",
		"mxbai-embed-large-v1-f16":           "cls",
		"bge-m3":                             "cls",
		"bge-m3-Q4_K_M":                      "cls",
		"all-minilm:l6-v2":                   "mean",
		"all-minilm-l6-v2":                   "mean",
		"snowflake-arctic-embed2":            "cls",
		"snowflake-arctic-embed:22m":         "cls",
	} {
		args, _, err := planned(name, bert, "", "")
		if !strings.Contains(args, "--pooling "+want) {
			t.Errorf("%s: %s, %v", name, args, err)
		}
	}
}

// If this fails, a model of unknown pooling gets a guess.
func TestPoolingOfUnknownModelsIsNotGuessed(t *testing.T) {
	for _, name := range []string{"bge-m30", "my-nomic-embed-text", "minilm", "", "bge"} {
		_, _, err := planned(name, bert, "", "")
		if statusOf(err) != misconfigured || !strings.Contains(err.Error(), "set POOLING") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// If this fails, nobody hears that a setting is probably wrong.
func TestWarnings(t *testing.T) {
	for _, c := range []struct {
		name          string
		header        gguf
		environ, want string
	}{
		{"nomic-embed-text", nomic, "", ""},
		{"nomic-embed-text", nomic, "POOLING=cls", "made for pooling mean"},
		{"nomic-embed-text", nomic, "POOLING=cls", "file says pooling mean"},
		{"mxbai-embed-large", gguf{architecture: "bert", dimensions: 1024, pooling: "mean"}, "", "made for pooling cls"},
		{"mxbai-embed-large", gguf{architecture: "bert", dimensions: 384, pooling: "cls"}, "", "this file has 384"},
		{"smollm2", smol, "CONTEXT=8193", "more than it was trained for"},
	} {
		_, notes, err := planned(c.name, c.header, c.environ, "")
		if err != nil || strings.Contains(notes, "WARNING") != (c.want != "") || !strings.Contains(notes, c.want) {
			t.Errorf("%s with %q: %v\n%s", c.name, c.environ, err, notes)
		}
	}
}

// If this fails, a contradiction is found out by the first client instead of at the start.
func TestRefusals(t *testing.T) {
	for _, c := range []struct {
		header              gguf
		environ, args, want string
	}{
		{nomic, "MODE=chat", "", "cannot chat"},
		{nomic, "DIMENSIONS=1024", "", "DIMENSIONS=1024: x gives 768"},
		{rank, "MODE=embeddings", "", "MODE=embeddings: x is a reranker"},
		{rank, "MODE=chat", "", "MODE=chat: x is a reranker"},
		{rank, "LLAMA_ARG_EMBEDDINGS=1 MODE=embeddings", "", "is a reranker"},
		{nomic, "MODE=reranking", "", "does not say that it is a reranker"},
		{smol, "MODE=embeddings", "", "set POOLING"},
		{nomic, "CONTEXT=2049", "", "no more than 2048 tokens"},
		{smol, "MODE=both", "", "MODE=both"},
		{smol, "POOLING=max", "", "POOLING=max"},
		{smol, "CONTEXT=many", "", "CONTEXT=many"},
		{smol, "CONTEXT=-1", "", "CONTEXT=-1"},
		{smol, "DIMENSIONS=0", "", "DIMENSIONS=0"},
		{smol, "MODEL_SHA256=abc", "", "64 hex digits"},
		{smol, "LLAMA_ARG_PORT=http", "", `"http"`},
		{smol, "", "--port 65536", `"65536"`},
		{smol, "", "--port", `""`},
	} {
		_, _, err := planned("x", c.header, c.environ, c.args)
		if statusOf(err) != misconfigured || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s %s: %v", c.environ, c.args, err)
		}
	}
}
