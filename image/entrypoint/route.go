package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/http/httputil"
	"net/url"
	"path"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

const (
	// idle is a little less than the five seconds after which llama-server closes a connection that says nothing.
	idle = 4 * time.Second
	// largest is the most that a request may have, in bytes.
	largest = 256 << 20
)

// localOrigins are whose pages may ask unless ORIGINS says otherwise, as in Ollama (envconfig/config.go there): those
// of this machine, and of programs with a page inside.
var localOrigins = []string{
	"http://localhost", "https://localhost", "http://localhost:*", "https://localhost:*",
	"http://127.0.0.1", "https://127.0.0.1", "http://127.0.0.1:*", "https://127.0.0.1:*",
	"http://0.0.0.0", "https://0.0.0.0", "http://0.0.0.0:*", "https://0.0.0.0:*",
	`http://\[::1\]`, `https://\[::1\]`, `http://\[::1\]:*`, `https://\[::1\]:*`,
	"app://*", "file://*", "tauri://*", "vscode-webview://*", "vscode-file://*",
}

// connect prepares the way to llama-server, whatever proxy the container was given.
func (f *front) connect() {
	transport := &http.Transport{
		MaxConnsPerHost:     f.Connections, // it has no thread for more; whoever comes next waits here
		MaxIdleConnsPerHost: f.Connections,
		IdleConnTimeout:     idle,
	}
	f.client = &http.Client{Transport: again{transport}}
	f.proxy = &httputil.ReverseProxy{
		Director: func(r *http.Request) {
			r.URL.Scheme, r.URL.Host = "http", f.Upstream
			r.Header.Del("Origin") // it is judged here
			repeatable(r)
		},
		Transport:     again{transport},
		FlushInterval: -1,
		ModifyResponse: func(r *http.Response) error {
			for name := range r.Header {
				if strings.HasPrefix(name, "Access-Control-") {
					delete(r.Header, name)
				}
			}
			return nil
		},
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			status, text := unreached(err)
			refuse(w, r, status, text)
		},
	}
}

// again asks once more over a new connection when a kept one turns out to be closed while the request is written, which
// net/http itself does not do in every such case.
type again struct{ http.RoundTripper }

func (a again) RoundTrip(r *http.Request) (*http.Response, error) {
	wasKept := false
	trace := httptrace.ClientTrace{GotConn: func(c httptrace.GotConnInfo) { wasKept = c.Reused }}
	response, err := a.RoundTripper.RoundTrip(r.WithContext(httptrace.WithClientTrace(r.Context(), &trace)))
	if err == nil || !wasKept || r.Context().Err() != nil || r.Body != nil && r.GetBody == nil {
		return response, err
	}
	once := r.Clone(r.Context())
	if r.GetBody != nil {
		if once.Body, err = r.GetBody(); err != nil {
			return nil, err
		}
	}
	return a.RoundTripper.RoundTrip(once)
}

// repeatable lets a request be sent again over a new connection when llama-server closed the kept one at that moment:
// it does so when one has been idle, and nothing that it is asked leaves a trace. The empty key is not sent.
func repeatable(r *http.Request) { r.Header["Idempotency-Key"] = []string{} }

// unreached says why llama-server did not answer; while it loads a model it does so in llama-server's words.
func unreached(err error) (int, string) {
	var refused *net.OpError
	if errors.As(err, &refused) && refused.Op == "dial" {
		return http.StatusServiceUnavailable, "Loading model"
	}
	return http.StatusBadGateway, "llama-server broke off: " + err.Error()
}

// ServeHTTP implements http.Handler.
func (f front) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !f.allows(w, r) {
		return
	}
	where := path.Clean(r.URL.Path)
	if strings.HasPrefix(where, "/api/") {
		f.ollama(w, r, strings.TrimPrefix(where, "/api/"))
		return
	}
	switch {
	case where == "/" && (r.Method == http.MethodHead || !strings.Contains(r.Header.Get("Accept"), "text/html")):
		_, _ = io.WriteString(w, "Ollama is running")
	case r.Method == http.MethodPost && strings.HasPrefix(r.Header.Get("Content-Type"), "multipart/"):
		f.proxy.ServeHTTP(w, r)
	case r.Method == http.MethodPost:
		f.openAI(w, r, where)
	default:
		f.proxy.ServeHTTP(w, r)
	}
}

// allows answers a page's question whether it may ask, and refuses those that may not.
func (f front) allows(w http.ResponseWriter, r *http.Request) bool {
	origin := r.Header.Get("Origin")
	if origin == "" {
		return true
	}
	w.Header().Add("Vary", "Origin")
	if whose, err := url.Parse(origin); err == nil && whose.Host == r.Host { // the server's own page
		return true
	}
	allowed := false
	for _, pattern := range f.Origins {
		matches, _ := path.Match(pattern, origin)
		allowed = allowed || matches || pattern == "*" || strings.HasSuffix(pattern, "://*") && strings.HasPrefix(origin, pattern[:len(pattern)-1])
	}
	if !allowed {
		refuse(w, r, http.StatusForbidden, "pages of "+origin+" may not ask this server: ORIGINS names those that may")
		return false
	}
	w.Header().Set("Access-Control-Allow-Origin", origin)
	if r.Method != http.MethodOptions {
		return true
	}
	w.Header().Set("Access-Control-Allow-Methods", "GET, HEAD, POST, DELETE, OPTIONS")
	w.Header().Set("Access-Control-Allow-Headers", r.Header.Get("Access-Control-Request-Headers"))
	w.Header().Set("Access-Control-Max-Age", "43200")
	w.WriteHeader(http.StatusNoContent)
	return false
}

// refuse answers an error in the form that the path's clients read: Ollama's are a string.
func refuse(w http.ResponseWriter, r *http.Request, status int, text string) {
	if strings.HasPrefix(r.URL.Path, "/api/") {
		reply(w, status, map[string]any{"error": text})
		return
	}
	kind := "invalid_request_error"
	switch {
	case status == http.StatusServiceUnavailable:
		kind = "unavailable_error"
	case status >= http.StatusInternalServerError:
		kind = "server_error"
	}
	reply(w, status, map[string]any{"error": map[string]any{"code": status, "message": text, "type": kind}})
}

func reply(w http.ResponseWriter, status int, value any) {
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil { // a number that JSON does not have
		status = http.StatusInternalServerError
		text.Reset()
		text.WriteString(`{"error":"llama-server answered with what is no number"}`)
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.Header().Set("Content-Length", strconv.Itoa(text.Len()))
	w.WriteHeader(status)
	_, _ = w.Write(text.Bytes())
}

// fields are a JSON object, of which what nobody looks at stays as it came.
type fields map[string]json.RawMessage

// readText reads a request's body, which is JSON or empty; the error is for the client.
func readText(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	text, err := io.ReadAll(http.MaxBytesReader(w, r.Body, largest))
	switch {
	case err != nil:
		return nil, fail(http.StatusBadRequest, "the request cannot be read: %v", err)
	case !utf8.Valid(text):
		return nil, fail(http.StatusBadRequest, "the request is not UTF-8")
	case len(text) > 0 && !json.Valid(text):
		var nothing any
		return nil, fail(http.StatusBadRequest, "the request is not JSON: %v", json.Unmarshal(text, &nothing))
	}
	return text, nil
}

// objectOf is a body as an object.
func objectOf(text []byte) (fields, error) {
	var found fields
	if err := json.Unmarshal(text, &found); err != nil || found == nil {
		return nil, fail(http.StatusBadRequest, "the request is not a JSON object")
	}
	return found, nil
}

// isNull tells a value that is there and null.
func (b fields) isNull(name string) bool { return string(b[name]) == "null" }

// has tells whether there is a value that says something.
func (b fields) has(name string) bool { return len(b[name]) > 0 && !b.isNull(name) }

// set replaces a value.
func (b fields) set(name string, value any) {
	text, err := json.Marshal(value)
	if err == nil {
		b[name] = text
	}
}

// into reads a value, and leaves what it is read into alone where there is none.
func (b fields) into(name string, value any) error {
	if !b.has(name) {
		return nil
	}
	if err := json.Unmarshal(b[name], value); err != nil {
		return fail(http.StatusBadRequest, "%q is not what it must be: %v", name, err)
	}
	return nil
}
