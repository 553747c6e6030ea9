package main

import "strings"

// traits are what a model was made for, of which a wrong guess gives plausible but wrong vectors.
type traits struct {
	pooling    string
	dimensions int  // 0: differs between the sizes of the model
	matryoshka bool // trained so that a vector's beginning is one too, as the model's card says
}

// known are embedding models by their name in Ollama's library, for files that do not say it themselves.
// Pooling is that of 1_Pooling/config.json in the model's repository, dimensions are its word_embedding_dimension;
// github.com/Anush008/fastembed-rs repeats both (src/text_embedding/impl.rs, src/models/text_embedding.rs).
var known = map[string]traits{
	"all-minilm":              {"mean", 384, false}, // sentence-transformers/all-MiniLM-L6-v2 and -L12-v2
	"bge-large":               {"cls", 1024, false}, // BAAI/bge-large-en-v1.5
	"bge-m3":                  {"cls", 1024, false}, // BAAI/bge-m3
	"embeddinggemma":          {"mean", 768, true},  // google/embeddinggemma-300m
	"mxbai-embed-large":       {"cls", 1024, true},  // mixedbread-ai/mxbai-embed-large-v1
	"nomic-embed-text":        {"mean", 768, true},  // nomic-ai/nomic-embed-text-v1.5
	"nomic-embed-text-v2-moe": {"mean", 768, true},  // nomic-ai/nomic-embed-text-v2-moe
	"paraphrase-multilingual": {"mean", 768, false}, // sentence-transformers/paraphrase-multilingual-mpnet-base-v2
	"qwen3-embedding":         {"last", 0, true},    // Qwen/Qwen3-Embedding-0.6B, -4B and -8B
	"snowflake-arctic-embed":  {"cls", 0, false},    // Snowflake/snowflake-arctic-embed-{xs,s,m,l}
	"snowflake-arctic-embed2": {"cls", 1024, true},  // Snowflake/snowflake-arctic-embed-l-v2.0
}

// encoders are the architectures that v0.5.0 knows and that cannot generate text.
var encoders = []string{
	"bert", "eurobert", "gemma-embedding", "jina-bert-v2", "jina-bert-v3", "llama-embed", "modern-bert", "neo-bert",
	"nomic-bert", "nomic-bert-moe", "t5encoder",
}

// traitsOf looks a model up by its name: mxbai-embed-large is also mixedbread/mxbai-embed-large:335m, and the file
// mxbai-embed-large-v1.Q8_0.gguf.
func traitsOf(name string) (traits, bool) {
	name = strings.ToLower(name[strings.LastIndex(name, "/")+1:])
	for end := len(name); end > 0; end = strings.LastIndexAny(name[:end], "-_.:") {
		if t, found := known[name[:end]]; found {
			return t, true
		}
	}
	return traits{}, false
}
