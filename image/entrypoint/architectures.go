package main

import "strings"

// architectures are those that the image's llama-server knows, with commas between: entrypoint.sh takes them out of the
// source that it is compiled from. Empty where that was not done; then llama-server itself says what it does not know.
var architectures string

// ofOllama are architectures under names, or in forms, of Ollama's own, which llama-server does not read.
var ofOllama = map[string]string{
	"gptoss":      "gpt-oss",
	"qwen25vl":    "qwen2vl",
	"mllama":      "",
	"deepseekocr": "deepseek2-ocr",
}

// checkArchitecture refuses a file that llama-server cannot load, in one line instead of a page of its log.
func checkArchitecture(m model, r *headerReader) error {
	architecture := r.texts["general.architecture"]
	if is, found := ofOllama[architecture]; found {
		remedy := "it runs in Ollama alone"
		if is != "" {
			remedy = "llama.cpp calls it " + is + ": take a file that was converted for llama.cpp, such as those of hf.co"
		}
		return fail(unknownKind, "%s is in a form of Ollama's own (architecture %q): %s", m.name, architecture, remedy)
	}
	if architectures != "" && !contains(strings.Split(architectures, ","), architecture) {
		return fail(unknownKind, "%s has the architecture %q, which this image's llama.cpp does not know: a newer one may, if "+
			"the file is not damaged", m.name, architecture)
	}
	if architecture == "clip" {
		return fail(unknownKind, "%s is only the part of a model that sees or hears (mmproj): MODEL is the other file", m.name)
	}
	if r.foreign != "" {
		return fail(unknownKind, "%s has its vision or hearing in the same file (tensor %s), a form of Ollama's own: llama.cpp "+
			"wants that in a second file; take files that were converted for llama.cpp, such as those of hf.co", m.name, r.foreign)
	}
	if key := architecture + ".attention.layer_norm_rms_epsilon"; architecture == "gemma3" && !r.has[key] {
		return fail(unknownKind, "%s lacks %s, as Ollama's own files of this model do, and llama.cpp cannot do without: take a "+
			"file that was converted for llama.cpp, such as those of hf.co", m.name, key)
	}
	return nil
}

// isForeign tells whether a tensor belongs to a model's eyes or ears, or to what leads from them to its language.
func isForeign(tensor string) bool {
	for _, beginning := range []string{"v.", "mm.", "a."} {
		if strings.HasPrefix(tensor, beginning) {
			return true
		}
	}
	return false
}
