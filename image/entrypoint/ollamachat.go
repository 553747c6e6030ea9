package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// options are Ollama's names of what llama-server calls otherwise, or the same.
var options = map[string]string{
	"temperature": "temperature", "top_k": "top_k", "top_p": "top_p", "min_p": "min_p", "typical_p": "typical_p",
	"seed": "seed", "stop": "stop", "num_predict": "max_tokens", "repeat_penalty": "repeat_penalty",
	"repeat_last_n": "repeat_last_n", "presence_penalty": "presence_penalty", "frequency_penalty": "frequency_penalty",
	"mirostat": "mirostat", "mirostat_tau": "mirostat_tau", "mirostat_eta": "mirostat_eta",
}

// writer turns llama-server's pieces into an answer of Ollama's.
type writer struct {
	w       http.ResponseWriter
	name    string
	streams bool
	piece   func(text string, calls []call) map[string]any // a piece of the answer, as the endpoint has it
	begun   time.Time
	whole   strings.Builder
	calls   []call
	started bool
}

// call is a function that the model wants called.
type call struct {
	Function struct {
		Name      string          `json:"name"`
		Arguments json.RawMessage `json:"arguments"`
	} `json:"function"`
}

// chunk is a piece of llama-server's answer, of either kind of completion.
type chunk struct {
	Choices []struct {
		Text  string
		Delta struct {
			Content   string
			ToolCalls []struct {
				Index    int
				Function struct{ Name, Arguments string }
			} `json:"tool_calls"`
		}
		FinishReason string `json:"finish_reason"`
	}
	Usage struct {
		Prompt     int `json:"prompt_tokens"`
		Completion int `json:"completion_tokens"`
	}
	Timings struct {
		Prompt    float64 `json:"prompt_ms"`
		Predicted float64 `json:"predicted_ms"`
	}
	Error struct{ Message string }
}

// chat answers /api/chat.
func (f front) chat(w http.ResponseWriter, r *http.Request, body fields) error {
	var messages []fields
	if err := body.into("messages", &messages); err != nil {
		return err
	}
	out := f.writer(w, body, func(text string, calls []call) map[string]any {
		said := map[string]any{"role": "assistant", "content": text}
		if len(calls) > 0 {
			said["tool_calls"] = calls
		}
		return map[string]any{"message": said}
	})
	if len(messages) == 0 {
		return out.loaded(body)
	}
	asked, err := f.question(body)
	if err != nil {
		return err
	}
	for i, message := range messages {
		if err := translate(message, i); err != nil {
			return err
		}
	}
	asked["messages"] = messages
	if body.has("tools") {
		asked["tools"] = body["tools"]
	}
	return f.write(out, r, "/v1/chat/completions", asked)
}

// translate gives a message the form that OpenAI's clients use.
func translate(message fields, number int) error {
	if message.has("images") && string(message["images"]) != "[]" {
		return fail(http.StatusBadRequest, "message %d has images, which this server does not see", number)
	}
	delete(message, "images")
	delete(message, "thinking")
	if name, set := message["tool_name"]; set {
		message["name"] = name
		delete(message, "tool_name")
	}
	var calls []call
	if err := message.into("tool_calls", &calls); err != nil || len(calls) == 0 {
		delete(message, "tool_calls")
		return err
	}
	var theirs []map[string]any
	for i, one := range calls {
		function := map[string]any{"name": one.Function.Name, "arguments": string(one.Function.Arguments)}
		theirs = append(theirs, map[string]any{"id": strconv.Itoa(i), "type": "function", "function": function})
	}
	message.set("tool_calls", theirs)
	return nil
}

// generate answers /api/generate: with the model's template, unless the prompt is raw.
func (f front) generate(w http.ResponseWriter, r *http.Request, body fields) error {
	var prompt, system string
	var raw bool
	for name, value := range map[string]any{"prompt": &prompt, "system": &system, "raw": &raw} {
		if err := body.into(name, value); err != nil {
			return err
		}
	}
	for _, name := range []string{"template", "suffix", "images"} {
		if body.has(name) && string(body[name]) != `""` && string(body[name]) != "[]" {
			return fail(http.StatusBadRequest, "%q cannot be set for a request to this server", name)
		}
	}
	out := f.writer(w, body, func(text string, _ []call) map[string]any { return map[string]any{"response": text} })
	if prompt == "" {
		return out.loaded(body)
	}
	asked, err := f.question(body)
	if err != nil {
		return err
	}
	if raw {
		asked["prompt"] = prompt
		return f.write(out, r, "/v1/completions", asked)
	}
	messages := []map[string]string{{"role": "user", "content": prompt}}
	if system != "" {
		messages = append([]map[string]string{{"role": "system", "content": system}}, messages...)
	}
	asked["messages"] = messages
	return f.write(out, r, "/v1/chat/completions", asked)
}

// question is what both endpoints ask of llama-server.
func (f front) question(body fields) (map[string]any, error) {
	if f.Mode != chat {
		return nil, fail(http.StatusBadRequest, "%q does not support chat here: this server was started for %s", f.Name, f.Mode)
	}
	var thinks json.RawMessage
	_ = body.into("think", &thinks)
	if len(thinks) > 0 && string(thinks) != "false" {
		return nil, fail(http.StatusBadRequest, "%q does not support thinking", f.Name)
	}
	asked := map[string]any{"model": f.Name, "stream": true, "cache_prompt": true}
	asked["stream_options"] = map[string]any{"include_usage": true} // it counts for those who ask alone
	var given fields
	if err := body.into("options", &given); err != nil {
		return nil, err
	}
	for theirs, ours := range options {
		if given.has(theirs) {
			asked[ours] = given[theirs]
		}
	}
	switch format := string(body["format"]); {
	case !body.has("format") || format == `""`:
	case format == `"json"`:
		asked["response_format"] = map[string]any{"type": "json_object"}
	case strings.HasPrefix(format, "{"):
		schema := map[string]any{"schema": body["format"]}
		asked["response_format"] = map[string]any{"type": "json_schema", "json_schema": schema}
	default:
		return nil, fail(http.StatusBadRequest, `"format" is neither "json" nor a JSON schema`)
	}
	return asked, nil
}

func (f front) writer(w http.ResponseWriter, body fields, piece func(string, []call) map[string]any) *writer {
	out := &writer{w: w, name: f.asked(body), streams: true, piece: piece, begun: time.Now()}
	if body.has("stream") {
		_ = json.Unmarshal(body["stream"], &out.streams)
	}
	return out
}

// write asks llama-server and gives its answer on piece by piece, or as a whole.
func (f front) write(out *writer, r *http.Request, where string, asked map[string]any) error {
	response, err := f.post(r, where, asked)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	lines := bufio.NewScanner(response.Body)
	lines.Buffer(nil, largest)
	reason, last := "", chunk{}
	for lines.Scan() {
		data := bytes.TrimPrefix(lines.Bytes(), []byte("data:"))
		var c chunk
		if json.Unmarshal(bytes.TrimSpace(data), &c) != nil {
			continue // an empty line between two, a comment, or the word at the end
		}
		if c.Error.Message != "" {
			return out.broken(c.Error.Message)
		}
		if c.Usage.Completion > 0 {
			last.Usage = c.Usage
		}
		if c.Timings.Predicted > 0 {
			last.Timings = c.Timings
		}
		for _, choice := range c.Choices {
			if choice.FinishReason != "" {
				reason = choice.FinishReason
			}
			for _, part := range choice.Delta.ToolCalls {
				out.collect(part.Index, part.Function.Name, part.Function.Arguments)
			}
			if text := choice.Text + choice.Delta.Content; text != "" {
				out.say(text)
			}
		}
	}
	if err := lines.Err(); err != nil || reason == "" {
		return out.broken("llama-server broke off")
	}
	if reason != "length" {
		reason = "stop"
	}
	milliseconds := func(value float64) int64 { return int64(value * float64(time.Millisecond)) }
	out.end(reason, map[string]any{
		"load_duration":        0,
		"prompt_eval_count":    last.Usage.Prompt,
		"prompt_eval_duration": milliseconds(last.Timings.Prompt),
		"eval_count":           last.Usage.Completion,
		"eval_duration":        milliseconds(last.Timings.Predicted),
	})
	return nil
}

// collect puts a function's pieces together.
func (o *writer) collect(index int, name, arguments string) {
	for len(o.calls) <= index {
		o.calls = append(o.calls, call{})
	}
	function := &o.calls[index].Function
	function.Name += name
	function.Arguments = append(function.Arguments, arguments...)
}

// say gives a piece on, or keeps it for the whole.
func (o *writer) say(text string) {
	if !o.streams {
		o.whole.WriteString(text)
		return
	}
	o.line(o.piece(text, nil), false)
}

// line writes an object of a stream.
func (o *writer) line(value map[string]any, done bool) {
	if !o.started {
		o.started = true
		o.w.Header().Set("Content-Type", "application/x-ndjson")
	}
	value["model"], value["created_at"], value["done"] = o.name, time.Now().UTC().Format(time.RFC3339Nano), done
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(value)
	_, _ = o.w.Write(text.Bytes())
	if flusher, can := o.w.(http.Flusher); can {
		flusher.Flush()
	}
}

// end writes the last object of a stream, or the only one.
func (o *writer) end(reason string, figures map[string]any) {
	calls := o.calls[:0]
	for _, one := range o.calls {
		if !json.Valid(one.Function.Arguments) {
			one.Function.Arguments = json.RawMessage("{}")
		}
		calls = append(calls, one)
	}
	value := o.piece(o.whole.String(), calls)
	for key, figure := range figures {
		value[key] = figure
	}
	value["done_reason"], value["total_duration"] = reason, time.Since(o.begun).Nanoseconds()
	if o.streams {
		o.line(value, true)
		return
	}
	value["model"], value["created_at"], value["done"] = o.name, time.Now().UTC().Format(time.RFC3339Nano), true
	reply(o.w, http.StatusOK, value)
}

// broken says why an answer ends early: in the stream, if that has begun.
func (o *writer) broken(why string) error {
	if !o.started {
		return fail(http.StatusInternalServerError, "%s", why)
	}
	text, _ := json.Marshal(map[string]string{"error": why})
	_, _ = o.w.Write(append(text, '\n'))
	return nil
}

// loaded answers a request that asks for nothing: clients load and unload a model so, which stays here.
func (o *writer) loaded(body fields) error {
	reason := "load"
	if keep := strings.Trim(string(body["keep_alive"]), `"`); keep == "0" || keep == "0s" {
		reason = "unload"
	}
	o.streams = false
	o.end(reason, nil)
	return nil
}
