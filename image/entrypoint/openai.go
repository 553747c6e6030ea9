package main

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"io"
	"math"
	"net/http"
	"strings"
)

const foreignTokens = "\"input\" is numbers, tokens of another model's tokenizer, which would give wrong vectors: send text. " +
	"In LangChain: OpenAIEmbeddings(check_embedding_ctx_length=False)"

// openAI checks what llama-server would answer wrongly or not at all, and hands the rest on as it came.
func (f front) openAI(w http.ResponseWriter, r *http.Request, where string) {
	text, err := readText(w, r)
	if err != nil {
		refuse(w, r, statusOf(err), err.Error())
		return
	}
	isOwn := strings.HasPrefix(where, "/v1/")
	if !isOwn && where != "/embeddings" || len(text) == 0 {
		f.pass(w, r, nil, text)
		return
	}
	body, err := objectOf(text)
	if err != nil {
		refuse(w, r, statusOf(err), err.Error())
		return
	}
	if isOwn && !body.has("model") { // llama-server would answer under the name of OpenAI's
		body.set("model", f.Name)
		text = nil
	}
	// As OpenAI calls it now; llama-server only knows the older name, and would write without end.
	if isOwn && body.has("max_completion_tokens") && !body.has("max_tokens") {
		body["max_tokens"] = body["max_completion_tokens"]
		text = nil
	}
	if where == "/v1/embeddings" || where == "/embeddings" {
		f.embeddings(w, r, body, text)
		return
	}
	f.pass(w, r, body, text)
}

// pass hands a request on; its text when nothing of it has changed.
func (f front) pass(w http.ResponseWriter, r *http.Request, body fields, text []byte) {
	if text == nil {
		text, _ = json.Marshal(body)
	}
	r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(text)), int64(len(text))
	r.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(text)), nil }
	r.Header.Set("Content-Type", "application/json")
	f.proxy.ServeHTTP(w, r)
}

func (f front) embeddings(w http.ResponseWriter, r *http.Request, body fields, text []byte) {
	if body.isNull("encoding_format") {
		refuse(w, r, http.StatusBadRequest, `"encoding_format" is null: it is "float" or "base64", or is left out`)
		return
	}
	if body.has("content") && !strings.HasPrefix(r.URL.Path, "/v1/") { // llama-server's own form
		f.pass(w, r, body, text)
		return
	}
	inputs, err := textsOf(body, "input")
	if err != nil {
		refuse(w, r, http.StatusBadRequest, err.Error())
		return
	}
	var dimensions int
	if err = body.into("dimensions", &dimensions); err == nil {
		err = f.checkDimensions(dimensions, body.has("dimensions"))
	}
	if err != nil {
		refuse(w, r, http.StatusBadRequest, err.Error())
		return
	}
	truncate := f.Truncate
	if err := body.into("truncate", &truncate); err != nil {
		refuse(w, r, http.StatusBadRequest, err.Error())
		return
	}
	if f.Prefix != "" {
		inputs = f.prefixed(inputs)
		body.set("input", inputs)
		text = nil
	}
	if truncate && f.Mode == embeddings {
		cut, wasCut, err := f.cutAll(r, inputs)
		if err != nil {
			refuse(w, r, httpStatusOf(err), err.Error())
			return
		}
		if wasCut {
			body.set("input", cut)
			text = nil
		}
	}
	if dimensions == 0 || dimensions == f.Dimensions {
		f.pass(w, r, body, text)
		return
	}
	f.shortened(w, r, body, dimensions)
}

// textsOf are the texts under a name: one, or a list.
func textsOf(body fields, name string) ([]string, error) {
	var several []json.RawMessage
	var one string
	switch {
	case !body.has(name):
		return nil, fail(http.StatusBadRequest, "%q is missing: a text, or a list of texts", name)
	case json.Unmarshal(body[name], &one) == nil:
		return []string{one}, nil
	case json.Unmarshal(body[name], &several) != nil:
		return nil, fail(http.StatusBadRequest, "%q is neither a text nor a list of texts", name)
	}
	texts := make([]string, len(several))
	for i, each := range several {
		switch {
		case len(each) > 0 && (each[0] == '[' || each[0] == '-' || each[0] >= '0' && each[0] <= '9'):
			return nil, fail(http.StatusBadRequest, "%s", foreignTokens)
		case json.Unmarshal(each, &texts[i]) != nil || string(each) == "null":
			return nil, fail(http.StatusBadRequest, "number %d of %q is not a text", i, name)
		}
	}
	return texts, nil
}

// prefixed are texts with what stands before each.
func (f front) prefixed(texts []string) []string {
	whole := make([]string, len(texts))
	for i, text := range texts {
		whole[i] = f.Prefix + text
	}
	return whole
}

// checkDimensions sees that vectors of so many numbers can be had.
func (f front) checkDimensions(wanted int, isAsked bool) error {
	switch {
	case !isAsked, f.Dimensions > 0 && wanted == f.Dimensions:
		return nil
	case wanted < 1 || wanted > f.Dimensions:
		return fail(http.StatusBadRequest, "\"dimensions\" is %d: %s gives %d", wanted, f.Name, f.Dimensions)
	case !f.Matryoshka:
		return fail(http.StatusBadRequest, "\"dimensions\" is %d: %s gives %d, and is not known to be trained so that a part of "+
			"a vector can be used (Matryoshka)", wanted, f.Name, f.Dimensions)
	}
	return nil
}

// shortened cuts vectors, and makes each of length one again.
func (f front) shortened(w http.ResponseWriter, r *http.Request, body fields, dimensions int) {
	var format string
	_ = body.into("encoding_format", &format)
	delete(body, "encoding_format")
	delete(body, "dimensions")
	answer, err := f.call(r, "/v1/embeddings", body)
	if err != nil {
		refuse(w, r, statusOf(err), err.Error())
		return
	}
	var data []fields
	if err := answer.into("data", &data); err != nil {
		refuse(w, r, http.StatusBadGateway, err.Error())
		return
	}
	for _, one := range data {
		var vector []float32
		if err := one.into("embedding", &vector); err != nil || len(vector) < dimensions {
			refuse(w, r, http.StatusBadGateway, "llama-server gave no vector")
			return
		}
		vector = normal(vector[:dimensions])
		if format == "base64" {
			one.set("embedding", packed(vector))
			one.set("encoding_format", format)
		} else {
			one.set("embedding", vector)
		}
	}
	answer.set("data", data)
	reply(w, http.StatusOK, answer)
}

// normal makes a vector one of length one; one of zeros stays as it is.
func normal(vector []float32) []float32 {
	sum := 0.0
	for _, x := range vector {
		sum += float64(x) * float64(x)
	}
	if sum == 0 {
		return vector
	}
	for i, x := range vector {
		vector[i] = float32(float64(x) / math.Sqrt(sum))
	}
	return vector
}

// packed is a vector as OpenAI's clients ask for it.
func packed(vector []float32) string {
	text := make([]byte, 4*len(vector))
	for i, x := range vector {
		binary.LittleEndian.PutUint32(text[4*i:], math.Float32bits(x))
	}
	return base64.StdEncoding.EncodeToString(text)
}

// post asks llama-server with the client's own key; a status other than 200 is an error in llama-server's words.
func (f front) post(r *http.Request, where string, body any) (*http.Response, error) {
	text, err := json.Marshal(body)
	if err != nil {
		return nil, fail(http.StatusBadRequest, "%v", err)
	}
	request, err := http.NewRequestWithContext(r.Context(), http.MethodPost, "http://"+f.Upstream+where, bytes.NewReader(text))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Content-Type", "application/json")
	repeatable(request)
	if key := r.Header.Get("Authorization"); key != "" {
		request.Header.Set("Authorization", key)
	}
	response, err := f.client.Do(request)
	if err != nil {
		status, why := unreached(err)
		return nil, fail(status, "%s", why)
	}
	if response.StatusCode != http.StatusOK {
		defer response.Body.Close()
		text, _ := io.ReadAll(response.Body)
		return nil, fail(response.StatusCode, "%s", message(text))
	}
	return response, nil
}

// call is post for an answer that is one object.
func (f front) call(r *http.Request, where string, body any) (fields, error) {
	response, err := f.post(r, where, body)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	var answer fields
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil {
		return nil, fail(http.StatusBadGateway, "llama-server's answer cannot be read: %v", err)
	}
	return answer, nil
}
