package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// If this fails, the health check asks at another place, or for something else, than the server was told to serve.
func TestServerIsDescribedByItsOptions(t *testing.T) {
	keys := filepath.Join(t.TempDir(), "keys")
	if err := os.WriteFile(keys, []byte("first\nsecond\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args, environ string
		want          server
	}{
		{"", "", server{url: "http://127.0.0.1:8080", mode: chat}},
		{"--host 0.0.0.0 --port 80 --port 81", "LLAMA_ARG_PORT=82", server{url: "http://127.0.0.1:81", mode: chat}},
		{"", "LLAMA_ARG_PORT=82 LLAMA_ARG_HOST=::", server{url: "http://127.0.0.1:82", mode: chat}},
		{"--host ::1", "", server{url: "http://[::1]:8080", mode: chat}},
		{"--embedding", "", server{url: "http://127.0.0.1:8080", mode: embeddings}},
		{"", "LLAMA_ARG_EMBEDDINGS=1", server{url: "http://127.0.0.1:8080", mode: embeddings}},
		{"--rerank", "", server{url: "http://127.0.0.1:8080", mode: reranking}},
		{"", "LLAMA_API_KEY=k", server{url: "http://127.0.0.1:8080", mode: chat, key: "k"}},
		{"--api-key-file " + keys, "", server{url: "http://127.0.0.1:8080", mode: chat, key: "first"}},
	} {
		got := describe(0, given{args: strings.Fields(c.args), environ: strings.Fields(c.environ)})
		if got != c.want {
			t.Errorf("%s %s: %+v", c.environ, c.args, got)
		}
	}
}

// If this fails, a key that guards the server is in every log.
func TestSecretsAreNotShown(t *testing.T) {
	got := strings.Join(withoutSecrets(strings.Fields("-c 5 --api_key k --hf-token t -hft u")), " ")
	if got != "-c 5 --api_key *** --hf-token *** -hft ***" {
		t.Error(got)
	}
}

// If this fails, `LLAMA_ARG_CTX_SIZE: ${CTX:-}` in a compose file stops the server.
func TestEmptyVariablesAreDropped(t *testing.T) {
	got := strings.Join(withoutEmpty([]string{"LLAMA_ARG_CTX_SIZE=", "LLAMA_ARG_PORT=1", "EMPTY=", "PATH=a=b"}), " ")
	if got != "LLAMA_ARG_PORT=1 EMPTY= PATH=a=b" {
		t.Error(got)
	}
}
