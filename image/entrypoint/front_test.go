package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// scripted is a llama-server that answers each path as a test says, and remembers what it was asked.
type scripted struct {
	answers map[string]string
	asked   []string
	status  int
}

func (s *scripted) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	s.asked = append(s.asked, r.URL.Path+" "+string(body))
	w.Header().Set("Access-Control-Allow-Origin", "*")
	if s.status != 0 {
		w.WriteHeader(s.status)
	}
	answer := s.answers[r.URL.Path]
	if r.URL.Path == "/v1/embeddings" && strings.Contains(string(body), "long") && !strings.Contains(string(body), "[[") {
		w.WriteHeader(http.StatusInternalServerError)
		answer = `{"error":{"message":"input is too large to process: it has 9 tokens"}}`
	}
	fmt.Fprint(w, answer)
}

// inFront is the URL of a front for a model, and the server behind it.
func inFront(t *testing.T, f front, answers map[string]string) (string, *scripted) {
	t.Helper()
	behind := &scripted{answers: answers}
	server := httptest.NewServer(behind)
	t.Cleanup(server.Close)
	f.Upstream = strings.TrimPrefix(server.URL, "http://")
	if f.Origins == nil {
		f.Origins = localOrigins
	}
	f.Connections = 4
	if len(f.Files) == 0 {
		f.Files = []string{filepath.Join(t.TempDir(), "sha256-"+strings.Repeat("ab", 32))}
		if err := os.WriteFile(f.Files[0], tiny(), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	f.connect()
	outer := httptest.NewServer(f)
	t.Cleanup(outer.Close)
	return outer.URL, behind
}

// ask sends a request, a POST if there is a body, and returns status and text of the answer.
func ask(t *testing.T, address, body string, headers ...string) (int, string, http.Header) {
	t.Helper()
	method := http.MethodGet
	if body != "" {
		method = http.MethodPost
	}
	if len(headers) > 0 && headers[0] == "" {
		method, headers = headers[1], headers[2:]
	}
	request, _ := http.NewRequest(method, address, strings.NewReader(body))
	for ; len(headers) > 0; headers = headers[2:] {
		request.Header.Set(headers[0], headers[1])
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, _ := io.ReadAll(response.Body)
	return response.StatusCode, strings.TrimSpace(string(text)), response.Header
}

var mini = front{Name: "nomic-embed-text", Mode: embeddings, Room: 40, Dimensions: 2, Matryoshka: true}

const vector = `{"object":"list","data":[{"index":0,"embedding":[0.6,0.8]}],"usage":{"prompt_tokens":3}}`

// If this fails, what clients ask Ollama's port before they use it is answered with 404 or with what is not so.
func TestWhatIsHere(t *testing.T) {
	url, behind := inFront(t, mini, nil)
	for path, want := range map[string]string{
		"/":             "Ollama is running",
		"/api/version":  `{"version":"` + ollamaVersion + `"}`,
		"/api/tags":     `"name":"nomic-embed-text:latest"`,
		"/api/ps":       `"context_length":40`,
		"/api/nonsense": `{"error":"there is no /api/nonsense here"}`,
	} {
		if _, text, _ := ask(t, url+path, ""); !strings.Contains(text, want) {
			t.Errorf("%s: %s", path, text)
		}
	}
	if status, _, _ := ask(t, url+"/", "", "", http.MethodHead); status != http.StatusOK {
		t.Errorf("HEAD /: %d", status)
	}
	_, text, _ := ask(t, url+"/api/tags", "")
	if !strings.Contains(text, `"digest":"`+strings.Repeat("ab", 32)) || !strings.Contains(text, `"quantization_level":"Q8_0"`) {
		t.Error(text)
	}
	_, text, _ = ask(t, url+"/api/show", `{"model":"nomic-embed-text"}`)
	for _, want := range []string{`"capabilities":["embedding"]`, `"bert.embedding_length":384`, `"general.architecture":"bert"`} {
		if !strings.Contains(text, want) {
			t.Errorf("%s is not in %s", want, text)
		}
	}
	if len(behind.asked) > 0 {
		t.Errorf("llama-server was asked %v", behind.asked)
	}
}

// If this fails, a client of Ollama's gets vectors of another model, in another form, or an error that it cannot read.
func TestEmbed(t *testing.T) {
	for _, c := range []struct {
		name, path, body string
		status           int
		want             string
	}{
		{"a text", "embed", `{"model":"nomic-embed-text","input":"a"}`, 200, `"embeddings":[[0.6,0.8]]`},
		{"a list, and what is accepted and means nothing here", "embed", `{"model":"nomic-embed-text:latest","input":["a"],"keep_alive":"5m","options":{"num_ctx":1}}`, 200, `"prompt_eval_count":3`},
		{"nothing", "embed", `{"model":"nomic-embed-text","input":[]}`, 200, `"embeddings":[]`},
		{"an empty text", "embed", `{"model":"nomic-embed-text","input":""}`, 200, `"embeddings":[]`},
		{"a part of it", "embed", `{"model":"nomic-embed-text","input":"a","dimensions":1}`, 200, `"embeddings":[[1]]`},
		{"too large a part", "embed", `{"model":"nomic-embed-text","input":"a","dimensions":3}`, 400, `{"error":"\"dimensions\" is 3: nomic-embed-text gives 2"}`},
		{"the older form", "embeddings", `{"model":"nomic-embed-text","prompt":"a"}`, 200, `{"embedding":[0.6,0.8]}`},
		{"the older form of nothing", "embeddings", `{"model":"nomic-embed-text","prompt":""}`, 200, `{"embedding":[]}`},
		{"the whole name", "embed", `{"model":"registry.ollama.ai/library/nomic-embed-text:latest","input":"a"}`, 200, `"embeddings":[[0.6,0.8]]`},
		{"another model", "embed", `{"model":"bge-m3","input":"a"}`, 404, `{"error":"model \"bge-m3\" not found: this server serves nomic-embed-text"}`},
		{"no model", "embed", `{"input":"a"}`, 400, `{"error":"model is required"}`},
		{"tokens", "embed", `{"model":"nomic-embed-text","input":[1,2]}`, 400, `check_embedding_ctx_length=False`},
		{"no JSON", "embed", `{`, 400, `{"error":"the request is not JSON: unexpected end of JSON input"}`},
		{"chat", "chat", `{"model":"nomic-embed-text","messages":[{"role":"user","content":"a"}]}`, 400, `does not support chat`},
		{"a pull of what is here", "pull", `{"model":"nomic-embed-text"}`, 200, `{"status":"success"}`},
		{"a pull of another", "pull", `{"name":"bge-m3"}`, 501, `{"error":"this server does not fetch models`},
		{"a push", "push", `{"name":"bge-m3"}`, 501, `{"error":"this server serves one model`},
	} {
		url, _ := inFront(t, mini, map[string]string{"/v1/embeddings": vector})
		if status, text, _ := ask(t, url+"/api/"+c.path, c.body); status != c.status || !strings.Contains(text, c.want) {
			t.Errorf("%s: %d %s", c.name, status, text)
		}
	}
}

// If this fails, a text that is too long is refused where Ollama takes its beginning, or cut where nobody allowed it.
func TestTooLongIsCut(t *testing.T) {
	answers := map[string]string{"/v1/embeddings": vector, "/tokenize": `{"tokens":[101,7,8,9,10,102]}`}
	small := mini
	small.Room = 4
	url, behind := inFront(t, small, answers)
	status, text, _ := ask(t, url+"/api/embed", `{"model":"nomic-embed-text","input":"long","truncate":false}`)
	if status != http.StatusInternalServerError || text != `{"error":"input is too large to process: it has 9 tokens"}` {
		t.Errorf("%d %s", status, text)
	}
	// The script's tokenizer gives the same with and without special tokens, so none of them is around the text.
	status, text, _ = ask(t, url+"/api/embed", `{"model":"nomic-embed-text","input":"long"}`)
	last := behind.asked[len(behind.asked)-1]
	if status != http.StatusOK || !strings.Contains(last, `"input":[[101,7,8,9]]`) {
		t.Errorf("%d %s after %s", status, text, last)
	}
	small.Truncate = true
	allowed, asked := inFront(t, small, answers)
	for _, c := range []struct {
		url, body string
		status    int
	}{
		{url, `{"model":"m","input":["long"]}`, http.StatusInternalServerError},
		{url, `{"model":"m","input":["long"],"truncate":true}`, http.StatusOK},
		{allowed, `{"model":"m","input":"long"}`, http.StatusOK},
		{allowed, `{"model":"m","input":"long","truncate":false}`, http.StatusInternalServerError},
	} {
		if status, text, _ := ask(t, c.url+"/v1/embeddings", c.body); status != c.status {
			t.Errorf("%s: %d %s", c.body, status, text)
		}
	}
	for _, sent := range [][]string{behind.asked, asked.asked} {
		if whole := strings.Join(sent, "\n"); !strings.Contains(whole, `"input":[[101,7,8,9]]`) {
			t.Error(whole)
		}
	}
}

// If this fails, OpenAI's clients get vectors that mean nothing, or a crash's answer instead of what is wrong.
func TestOpenAI(t *testing.T) {
	for _, c := range []struct {
		name, body string
		status     int
		want       string
		sent       string // to llama-server
	}{
		{"as it came", `{"input": "a", "model":"gpt"}`, 200, vector, `{"input": "a", "model":"gpt"}`},
		{"without a model", `{"input":"a"}`, 200, vector, `{"input":"a","model":"nomic-embed-text"}`},
		{"a part of it", `{"input":"a","model":"m","dimensions":1}`, 200, `"embedding":[1]`, `{"input":"a","model":"m"}`},
		{"in base 64", `{"input":"a","model":"m","dimensions":1,"encoding_format":"base64"}`, 200, `"embedding":"AACAPw=="`, `{"input":"a","model":"m"}`},
		{"all of it", `{"input":"a","model":"m","dimensions":2}`, 200, vector, `{"input":"a","model":"m","dimensions":2}`},
		{"tokens", `{"input":[1,2],"model":"m"}`, 400, foreignTokens[:7], ""},
		{"lists of tokens", `{"input":[[1],[2]],"model":"m"}`, 400, "check_embedding_ctx_length=False", ""},
		{"null", `{"input":null,"model":"m"}`, 400, `"type":"invalid_request_error"`, ""},
		{"null in a list", `{"input":["a",null],"model":"m"}`, 400, "number 1 of", ""},
		{"a format of null", `{"input":"a","encoding_format":null}`, 400, "encoding_format", ""},
		{"no JSON", `{"input":`, 400, "not JSON", ""},
		{"Latin-1", "{\"input\":\"\xe9\"}", 400, "not UTF-8", ""},
		{"a list", `[]`, 400, "not a JSON object", ""},
	} {
		url, behind := inFront(t, mini, map[string]string{"/v1/embeddings": vector})
		status, text, _ := ask(t, url+"/v1/embeddings", c.body)
		want := strings.ReplaceAll(c.want, `"input"`, `\"input\"`)
		if c.status == http.StatusOK {
			want = c.want
		}
		if status != c.status || !strings.Contains(text, want) {
			t.Errorf("%s: %d %s", c.name, status, text)
		}
		if sent := strings.Join(behind.asked, "\n"); c.sent != "" && sent != "/v1/embeddings "+c.sent || c.sent == "" && sent != "" {
			t.Errorf("%s: %s", c.name, sent)
		}
	}
}

// If this fails, a client that limits an answer as OpenAI has it now waits for one that never ends.
func TestTheNewerNameOfALimit(t *testing.T) {
	url, behind := inFront(t, front{Name: "smol", Mode: chat, Room: 4096}, map[string]string{"/v1/chat/completions": "{}"})
	ask(t, url+"/v1/chat/completions", `{"model":"m","messages":[],"max_completion_tokens":8}`)
	ask(t, url+"/v1/chat/completions", `{"model":"m","messages":[],"max_completion_tokens":8,"max_tokens":4}`)
	if !strings.Contains(behind.asked[0], `"max_tokens":8`) || !strings.Contains(behind.asked[1], `"max_tokens":4`) {
		t.Error(behind.asked)
	}
}

// If this fails, a model that is trained for whole vectors gives parts of them as if they were some.
func TestOnlyMatryoshkaIsCut(t *testing.T) {
	whole := mini
	whole.Matryoshka = false
	url, _ := inFront(t, whole, nil)
	for path, body := range map[string]string{
		"/v1/embeddings": `{"input":"a","dimensions":1}`, "/api/embed": `{"model":"nomic-embed-text","input":"a","dimensions":1}`,
	} {
		if status, text, _ := ask(t, url+path, body); status != http.StatusBadRequest || !strings.Contains(text, "Matryoshka") {
			t.Errorf("%s: %d %s", path, status, text)
		}
	}
}

// If this fails, texts are embedded without what their model was trained to see before them, or clients' own twice.
func TestPrefix(t *testing.T) {
	f := mini
	f.Prefix = "search_document: "
	url, behind := inFront(t, f, map[string]string{"/v1/embeddings": vector})
	ask(t, url+"/v1/embeddings", `{"input":["a"],"model":"m"}`)
	ask(t, url+"/api/embed", `{"model":"nomic-embed-text","input":"a"}`)
	ask(t, url+"/api/embeddings", `{"model":"nomic-embed-text","prompt":"a"}`)
	for _, sent := range behind.asked {
		if !strings.Contains(sent, `["search_document: a"]`) {
			t.Error(sent)
		}
	}
}

// If this fails, any page that somebody opens may ask the server on their machine, or none of their own may.
func TestOrigins(t *testing.T) {
	url, _ := inFront(t, mini, map[string]string{"/v1/models": "{}"})
	for origin, allowed := range map[string]bool{
		"http://localhost:3000": true, "https://127.0.0.1": true, "app://obsidian.md": true, "http://[::1]:5173": true, url: true,
		"http://evil.example": false, "http://localhost.evil.example": false, "null": false,
	} {
		for _, path := range []string{"/v1/models", "/api/tags"} {
			status, text, header := ask(t, url+path, "", "Origin", origin)
			if (status == http.StatusOK) != allowed {
				t.Errorf("%s: %d %s", origin, status, text)
			}
			if named := header.Get("Access-Control-Allow-Origin"); named != "" && named != origin {
				t.Errorf("%s is told %s", origin, named)
			}
		}
	}
	status, _, header := ask(t, url+"/api/embed", "", "", http.MethodOptions, "Origin", "http://localhost", "Access-Control-Request-Headers", "x-y")
	if status != http.StatusNoContent || header.Get("Access-Control-Allow-Headers") != "x-y" {
		t.Errorf("a question before a request: %d %v", status, header)
	}
}

const streamed = `data: {"choices":[{"delta":{"content":"Hel"},"finish_reason":null}]}

data: {"choices":[{"delta":{"content":"lo"},"finish_reason":null}]}

data: {"choices":[{"delta":{},"finish_reason":"stop"}],"usage":{"prompt_tokens":5,"completion_tokens":2},"timings":{"prompt_ms":1.5,"predicted_ms":2}}

data: [DONE]

`

// If this fails, a chat client of Ollama's shows nothing, never ends, or says what its user did not ask.
func TestChat(t *testing.T) {
	smol := front{Name: "smol", Mode: chat, Room: 4096}
	url, behind := inFront(t, smol, map[string]string{"/v1/chat/completions": streamed, "/v1/completions": streamed})
	_, text, header := ask(t, url+"/api/chat", `{"model":"smol","messages":[{"role":"user","content":"Hi"}],"options":{"num_predict":3,"temperature":0,"num_ctx":9},"format":"json"}`)
	lines := strings.Split(text, "\n")
	if len(lines) != 3 || header.Get("Content-Type") != "application/x-ndjson" {
		t.Fatal(text)
	}
	var last struct {
		Done       bool
		DoneReason string `json:"done_reason"`
		Eval       int    `json:"eval_count"`
		Prompt     int    `json:"prompt_eval_duration"`
	}
	if err := json.Unmarshal([]byte(lines[2]), &last); err != nil || !last.Done || last.DoneReason != "stop" || last.Eval != 2 || last.Prompt != 1500000 {
		t.Errorf("%v %s", err, lines[2])
	}
	if !strings.Contains(lines[0], `"message":{"content":"Hel","role":"assistant"}`) {
		t.Error(lines[0])
	}
	for _, want := range []string{`"max_tokens":3`, `"temperature":0`, `"response_format":{"type":"json_object"}`} {
		if !strings.Contains(behind.asked[0], want) || strings.Contains(behind.asked[0], "num_ctx") {
			t.Errorf("%s is not in %s", want, behind.asked[0])
		}
	}
	_, text, _ = ask(t, url+"/api/chat", `{"model":"smol","stream":false,"messages":[{"role":"user","content":"Hi"}]}`)
	if !strings.Contains(text, `"content":"Hello"`) || strings.Contains(text, "\n") {
		t.Error(text)
	}
	_, text, _ = ask(t, url+"/api/generate", `{"model":"smol","stream":false,"prompt":"Hi","system":"Be brief."}`)
	if !strings.Contains(text, `"response":"Hello"`) || !strings.Contains(behind.asked[2], `[{"content":"Be brief.","role":"system"},{"content":"Hi","role":"user"}]`) {
		t.Errorf("%s after %s", text, behind.asked[2])
	}
	for body, want := range map[string]string{
		`{"model":"smol","messages":[{"role":"user","content":"a","images":["eA=="]}]}`:      "message 0 has images",
		`{"model":"smol","messages":[]}`:                                                     `"done_reason":"load"`,
		`{"model":"smol","messages":[],"keep_alive":0}`:                                      `"done_reason":"unload"`,
		`{"model":"smol","messages":[{"role":"user","content":"a"}],"think":true}`:           "does not support thinking",
		`{"model":"smol","messages":[{"role":"user","content":"a"}],"format":"application"}`: "neither",
	} {
		if _, text, _ := ask(t, url+"/api/chat", body); !strings.Contains(text, want) {
			t.Errorf("%s: %s", body, text)
		}
	}
	behind.status, behind.answers = http.StatusUnauthorized, map[string]string{"/v1/chat/completions": `{"error":{"message":"Invalid API Key"}}`}
	status, text, _ := ask(t, url+"/api/chat", `{"model":"smol","messages":[{"role":"user","content":"a"}]}`)
	if status != http.StatusUnauthorized || text != `{"error":"Invalid API Key"}` {
		t.Errorf("%d %s", status, text)
	}
}

// If this fails, a client of functions gets none of the calls that the model wants, or in a form that it cannot read.
func TestFunctions(t *testing.T) {
	const calls = `data: {"choices":[{"delta":{"tool_calls":[{"index":0,"function":{"name":"add","arguments":"{\"a\":"}}]}}]}
data: {"choices":[{"delta":{"tool_calls":[{"index":0,"function":{"arguments":"1}"}}]}}]}
data: {"choices":[{"delta":{},"finish_reason":"tool_calls"}]}
`
	url, behind := inFront(t, front{Name: "smol", Mode: chat}, map[string]string{"/v1/chat/completions": calls})
	_, text, _ := ask(t, url+"/api/chat", `{"model":"smol","stream":false,"tools":[{"type":"function"}],"messages":[{"role":"assistant","content":"","tool_calls":[{"function":{"name":"add","arguments":{"a":1}}}]},{"role":"tool","tool_name":"add","content":"1"}]}`)
	if !strings.Contains(text, `"tool_calls":[{"function":{"name":"add","arguments":{"a":1}}}]`) {
		t.Error(text)
	}
	for _, want := range []string{`"arguments":"{\"a\":1}"`, `"name":"add"`, `"tools":[{"type":"function"}]`} {
		if !strings.Contains(behind.asked[0], want) {
			t.Errorf("%s is not in %s", want, behind.asked[0])
		}
	}
}

// If this fails, a request that llama-server takes and OpenAI does not know is refused or changed on its way.
func TestTheRestIsPassedOn(t *testing.T) {
	url, behind := inFront(t, mini, map[string]string{"/slots/0": "{}", "/lora-adapters": "[]", "/health": "ok", "/embedding": "[]"})
	ask(t, url+"/slots/0", "", "", http.MethodPost)
	ask(t, url+"/lora-adapters", `[{"id":0}]`)
	ask(t, url+"/embedding", `{"content":[1,2]}`)
	if status, text, _ := ask(t, url+"/health", ""); status != http.StatusOK || text != "ok" {
		t.Errorf("%d %s", status, text)
	}
	if got := strings.Join(behind.asked, "|"); got != `/slots/0 |/lora-adapters [{"id":0}]|/embedding {"content":[1,2]}|/health ` {
		t.Error(got)
	}
}

// If this fails, a request that comes as llama-server closes an idle connection is lost: on a busy machine, now and then.
func TestAClosedConnectionIsNoLoss(t *testing.T) {
	requests := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if requests++; requests%2 == 0 { // of a kept connection: it ends without an answer
			connection, _, _ := w.(http.Hijacker).Hijack()
			connection.Close()
			return
		}
		_, _ = io.Copy(w, strings.NewReader(vector))
	}))
	defer server.Close()
	f := mini
	f.Upstream, f.Connections = strings.TrimPrefix(server.URL, "http://"), 1
	f.connect()
	outer := httptest.NewServer(f)
	defer outer.Close()
	for _, path := range []string{"/v1/embeddings", "/v1/embeddings", "/api/embed", "/api/embed"} {
		if status, text, _ := ask(t, outer.URL+path, `{"model":"nomic-embed-text","input":"a"}`); status != http.StatusOK {
			t.Errorf("%s: %d %s", path, status, text)
		}
	}
	if requests < 6 {
		t.Errorf("%d requests, none of which was lost", requests)
	}
}

// If this fails, a client that comes while the model is loaded takes the server for broken, and does not come again.
func TestWhileItLoads(t *testing.T) {
	f := mini
	f.Upstream, f.Connections = "127.0.0.1:1", 1
	f.connect()
	outer := httptest.NewServer(f)
	defer outer.Close()
	for path, body := range map[string]string{"/health": "", "/v1/embeddings": `{"input":"a"}`, "/api/embed": `{"model":"nomic-embed-text","input":"a"}`} {
		if status, text, _ := ask(t, outer.URL+path, body); status != http.StatusServiceUnavailable || !strings.Contains(text, "Loading model") {
			t.Errorf("%s: %d %s", path, status, text)
		}
	}
}
