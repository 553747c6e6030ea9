package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// ollamaVersion is the one whose endpoints are answered here: clients compare it before they use what is newer. It is
// the first one that knows the field `dimensions`.
const ollamaVersion = "0.11.11"

// ollama answers Ollama's own endpoints, as the API's page in github.com/ollama/ollama has them.
func (f front) ollama(w http.ResponseWriter, r *http.Request, what string) {
	switch r.Method + " " + what {
	case "GET version":
		reply(w, http.StatusOK, map[string]string{"version": ollamaVersion})
		return
	case "GET tags":
		reply(w, http.StatusOK, map[string]any{"models": []any{f.listed()}})
		return
	case "GET ps":
		running := f.listed()
		running["expires_at"] = time.Now().AddDate(100, 0, 0).Format(time.RFC3339) // it stays
		running["size_vram"] = 0
		running["context_length"] = f.Room
		reply(w, http.StatusOK, map[string]any{"models": []any{running}})
		return
	case "DELETE delete", "POST push", "POST create", "POST copy":
		refuse(w, r, http.StatusNotImplemented, "this server serves one model from its volume, and changes none: do that with "+
			"Ollama, or change MODEL")
		return
	}
	answer, known := map[string]func(http.ResponseWriter, *http.Request, fields) error{
		"embed": f.embed, "embeddings": f.embedOne, "show": f.show, "pull": f.pull, "chat": f.chat, "generate": f.generate,
	}[what]
	switch {
	case !known:
		refuse(w, r, http.StatusNotFound, "there is no /api/"+what+" here")
		return
	case r.Method != http.MethodPost:
		refuse(w, r, http.StatusMethodNotAllowed, "/api/"+what+" is asked with POST")
		return
	}
	text, err := readText(w, r)
	var body fields
	if err == nil {
		body, err = objectOf(text)
	}
	if err == nil {
		err = f.checkModel(body, what)
	}
	if err == nil {
		err = answer(w, r, body)
	}
	if err != nil {
		refuse(w, r, httpStatusOf(err), err.Error())
	}
}

// httpStatusOf is a failure's own, if that is one of HTTP's.
func httpStatusOf(err error) int {
	if status := statusOf(err); status >= http.StatusBadRequest {
		return status
	}
	return http.StatusInternalServerError
}

// checkModel sees that the model that is asked for is the one that is here: vectors of two models have nothing to do
// with each other.
func (f front) checkModel(body fields, what string) error {
	var asked, name string
	if err := body.into("name", &name); err != nil { // as older clients call it
		return err
	}
	if err := body.into("model", &asked); err != nil {
		return err
	}
	if asked == "" {
		asked = name
	}
	switch {
	case asked == "":
		return fail(http.StatusBadRequest, "model is required")
	case f.isNamed(asked):
		return nil
	case what == "pull":
		return fail(http.StatusNotImplemented, "this server does not fetch models, it serves %s: pull %q with Ollama into its "+
			"volume, and set MODEL to it", f.Name, asked)
	}
	return fail(http.StatusNotFound, "model %q not found: this server serves %s", asked, f.Name)
}

// isNamed tells whether a client's name is that of the model here, however much of it is left out.
func (f front) isNamed(asked string) bool {
	if asked == f.Name || strings.TrimSuffix(asked, ".gguf") == f.Name {
		return true
	}
	theirs, err := parseReference(asked)
	ours, otherwise := parseReference(f.Name)
	return err == nil && otherwise == nil && strings.EqualFold(theirs.String(), ours.String())
}

// tagged is the model's name as Ollama lists it.
func (f front) tagged() string {
	if strings.LastIndex(f.Name, ":") > strings.LastIndex(f.Name, "/") {
		return f.Name
	}
	return f.Name + ":" + ollamaTag
}

// listed is the model as Ollama lists it.
func (f front) listed() map[string]any {
	entry := map[string]any{"name": f.tagged(), "model": f.tagged(), "digest": "", "details": f.details(nil)}
	if found := digest.FindStringSubmatch(filepath.Base(f.Files[0])); found != nil { // a blob of a store
		entry["digest"] = strings.ToLower(found[1])
	}
	size := int64(0)
	for _, file := range f.Files {
		if info, err := os.Stat(file); err == nil {
			size += info.Size()
			entry["size"], entry["modified_at"] = size, info.ModTime().Format(time.RFC3339Nano)
		}
	}
	return entry
}

// details are what Ollama says of a model besides its name.
func (f front) details(r *headerReader) map[string]any {
	if r == nil {
		var err error
		if r, err = readHeaders(f.Files); err != nil {
			return map[string]any{"format": "gguf"}
		}
	}
	found := r.summary()
	return map[string]any{
		"parent_model":       "",
		"format":             "gguf",
		"family":             found.architecture,
		"families":           []string{found.architecture},
		"parameter_size":     human(r.elements),
		"quantization_level": found.quantisation,
	}
}

// human writes a number of parameters as Ollama does: 137M, 7.6B.
func human(number uint64) string {
	switch {
	case number >= 1e9:
		return fmt.Sprintf("%.1fB", float64(number)/1e9)
	case number >= 1e6:
		return fmt.Sprintf("%.0fM", float64(number)/1e6)
	}
	return fmt.Sprintf("%.0fK", float64(number)/1e3)
}

func (f front) show(w http.ResponseWriter, _ *http.Request, _ fields) error {
	header, err := readHeaders(f.Files)
	if err != nil {
		return err
	}
	info := map[string]any{"general.parameter_count": header.elements}
	for key, value := range header.numbers {
		info[key] = value
	}
	template := ""
	for key, value := range header.texts {
		if key == "tokenizer.chat_template" {
			template = value
		} else {
			info[key] = value
		}
	}
	abilities := []string{"embedding"}
	if f.Mode == chat {
		abilities = []string{"completion"}
		if f.Tools {
			abilities = append(abilities, "tools")
		}
	}
	answer := map[string]any{
		"modelfile":    "FROM " + f.Files[0] + "\n",
		"parameters":   fmt.Sprintf("num_ctx %d", f.Room),
		"template":     template,
		"details":      f.details(header),
		"model_info":   info,
		"capabilities": abilities,
	}
	if stat, err := os.Stat(f.Files[0]); err == nil {
		answer["modified_at"] = stat.ModTime().Format(time.RFC3339Nano)
	}
	reply(w, http.StatusOK, answer)
	return nil
}

// pull is for clients that do so before they ask for anything: the model that they mean is here.
func (f front) pull(w http.ResponseWriter, _ *http.Request, _ fields) error {
	reply(w, http.StatusOK, map[string]string{"status": "success"})
	return nil
}

// canEmbed sees that the server was started for it.
func (f front) canEmbed() error {
	if f.Mode != embeddings {
		return fail(http.StatusBadRequest, "%q does not support embeddings here: this server was started for %s (MODE=embeddings)",
			f.Name, f.Mode)
	}
	return nil
}

// embed answers /api/embed.
func (f front) embed(w http.ResponseWriter, r *http.Request, body fields) error {
	begun := time.Now()
	if err := f.canEmbed(); err != nil {
		return err
	}
	texts := []string{}
	if body.has("input") {
		var err error
		if texts, err = textsOf(body, "input"); err != nil {
			return err
		}
	}
	if len(texts) == 1 && texts[0] == "" { // as Ollama takes it
		texts = nil
	}
	truncate, dimensions := true, 0
	if err := body.into("truncate", &truncate); err != nil {
		return err
	}
	if err := body.into("dimensions", &dimensions); err != nil {
		return err
	}
	if err := f.checkDimensions(dimensions, dimensions != 0); err != nil {
		return err
	}
	vectors, tokens, err := f.vectors(r, f.prefixed(texts), truncate)
	if err != nil {
		return err
	}
	if dimensions > 0 {
		for i, vector := range vectors {
			vectors[i] = normal(vector[:dimensions])
		}
	}
	reply(w, http.StatusOK, map[string]any{
		"model":             f.asked(body),
		"embeddings":        vectors,
		"total_duration":    time.Since(begun).Nanoseconds(),
		"load_duration":     0,
		"prompt_eval_count": tokens,
	})
	return nil
}

// embedOne answers /api/embeddings, the older form.
func (f front) embedOne(w http.ResponseWriter, r *http.Request, body fields) error {
	if err := f.canEmbed(); err != nil {
		return err
	}
	var prompt string
	if err := body.into("prompt", &prompt); err != nil {
		return err
	}
	if prompt == "" { // clients ask so whether the model is there
		reply(w, http.StatusOK, map[string]any{"embedding": []float32{}})
		return nil
	}
	vectors, _, err := f.vectors(r, f.prefixed([]string{prompt}), true)
	if err != nil {
		return err
	}
	reply(w, http.StatusOK, map[string]any{"embedding": vectors[0]})
	return nil
}

// asked is the name that the client used.
func (f front) asked(body fields) string {
	name := f.Name
	_ = body.into("model", &name)
	return name
}

// vectors embeds texts, and cuts those that the model cannot take if it may.
func (f front) vectors(r *http.Request, texts []string, truncate bool) ([][]float32, int, error) {
	if len(texts) == 0 {
		return [][]float32{}, 0, nil
	}
	inputs := make([]any, len(texts))
	for i, text := range texts {
		inputs[i] = text
	}
	if truncate {
		var err error
		if inputs, _, err = f.cutAll(r, texts); err != nil {
			return nil, 0, err
		}
	}
	return f.embedded(r, inputs)
}

// mostSpecial is a number of special tokens that no model puts more of around a text.
const mostSpecial = 8

// cutAll gives texts as they are, or the tokens of their beginning where the model cannot take all; it also tells
// whether there was one. A token is at least a byte, so that only long texts need to be counted.
func (f front) cutAll(r *http.Request, texts []string) ([]any, bool, error) {
	inputs, wasCut := make([]any, len(texts)), false
	for i, text := range texts {
		inputs[i] = text
		if len(text)+mostSpecial <= f.Room {
			continue
		}
		cut, err := f.cut(r, text)
		if err != nil {
			return nil, false, err
		}
		if cut != nil {
			inputs[i], wasCut = cut, true
		}
	}
	return inputs, wasCut, nil
}

// embedded asks for the vectors of texts and of the model's own tokens, which nobody else may send.
func (f front) embedded(r *http.Request, inputs []any) ([][]float32, int, error) {
	answer, err := f.call(r, "/v1/embeddings", map[string]any{"input": inputs, "model": f.Name})
	if err != nil {
		return nil, 0, err
	}
	var data []struct {
		Index     int
		Embedding []float32
	}
	var usage struct {
		Prompt int `json:"prompt_tokens"`
	}
	_ = answer.into("usage", &usage)
	if err := answer.into("data", &data); err != nil || len(data) != len(inputs) {
		return nil, 0, fail(http.StatusBadGateway, "llama-server gave %d vectors for %d texts", len(data), len(inputs))
	}
	vectors := make([][]float32, len(inputs))
	for _, one := range data {
		if one.Index < 0 || one.Index >= len(vectors) || len(one.Embedding) == 0 {
			return nil, 0, fail(http.StatusBadGateway, "llama-server gave no vector for a text")
		}
		vectors[one.Index] = one.Embedding
	}
	return vectors, usage.Prompt, nil
}

// cut returns the tokens of a text's beginning that the model can take, between the special ones that belong around
// it; nil if it can take all.
func (f front) cut(r *http.Request, text string) ([]int, error) {
	whole, err := f.tokens(r, text, true)
	if err != nil || len(whole) <= f.Room {
		return nil, err
	}
	plain, err := f.tokens(r, text, false)
	if err != nil {
		return nil, err
	}
	around := len(whole) - len(plain)
	before := 0
	for before < around && len(plain) > 0 && whole[before] != plain[0] {
		before++
	}
	after := around - before
	keep := f.Room - around
	if keep < 1 {
		return nil, fail(http.StatusBadRequest, "%s takes %d tokens, of which the special ones leave none", f.Name, f.Room)
	}
	cut := append([]int{}, whole[:before]...)
	cut = append(cut, plain[:keep]...)
	return append(cut, whole[len(whole)-after:]...), nil
}

func (f front) tokens(r *http.Request, text string, special bool) ([]int, error) {
	answer, err := f.call(r, "/tokenize", map[string]any{"content": text, "add_special": special})
	if err != nil {
		return nil, err
	}
	var tokens []int
	if err := json.Unmarshal(answer["tokens"], &tokens); err != nil {
		return nil, fail(http.StatusBadGateway, "llama-server's tokens cannot be read: %v", err)
	}
	return tokens, nil
}
