package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"
)

// healthSeconds is how long a server may take to prove itself; the image's HEALTHCHECK allows a little more.
const healthSeconds = 8

// worthKeeping is the number of tokens in the cache from which on another prompt would cost somebody time. The server
// only tells the most that there ever were; the check's own prompt has fewer.
const worthKeeping = 16

// errNoMetrics: the user has turned them off.
var errNoMetrics = errors.New("no metrics")

// health prints one line, and returns 0 if llama-server answers or is busy answering, else 1.
func health(args []string) int {
	seconds := healthSeconds
	if len(args) > 0 {
		given, err := strconv.Atoi(args[0])
		if len(args) > 1 || err != nil || given < 1 {
			fmt.Println("usage: entrypoint health [SECONDS]")
			return 1
		}
		seconds = given
	}
	s, err := findServer(os.Environ())
	if err != nil {
		fmt.Println("unhealthy:", err)
		return 1
	}
	proof, err := s.prove(time.Duration(seconds) * time.Second)
	if err != nil {
		fmt.Println("unhealthy:", err)
		return 1
	}
	fmt.Println("healthy:", proof)
	return 0
}

// looks is how often the server's threads are looked at while it is waited for.
const looks = 16

// prove returns what shows that the server works. One that says nothing in time but computes is busy with a long
// batch, during which it answers nobody; one that does neither hangs.
func (s server) prove(patience time.Duration) (proof string, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	answered := make(chan struct{})
	go func() {
		proof, err = s.ask(ctx)
		close(answered)
	}()
	look := time.NewTicker(patience / looks)
	defer look.Stop()
	for running := 0; ; {
		select {
		case <-look.C:
			if s.isRunning() {
				running++
			}
		case <-answered:
			switch {
			case err == nil || ctx.Err() == nil:
				return proof, err
			case running > looks/4:
				return "it is busy", nil
			}
			return "", fmt.Errorf("no answer within %v", patience)
		}
	}
}

// ask takes the cheapest proof that there is.
func (s server) ask(ctx context.Context) (string, error) {
	if s.front != "" { // it answers this itself
		outer := server{url: s.front}
		if _, err := outer.request(ctx, "/api/version", ""); err != nil {
			return "", fmt.Errorf("the program in front of llama-server: %w", err)
		}
	}
	if _, err := s.request(ctx, "/health", ""); err != nil {
		return "", err
	}
	// The loop that evaluates the model counts these, so they also show that it goes round.
	metrics, err := s.metrics(ctx)
	if err != nil && !errors.Is(err, errNoMetrics) {
		return "", err
	}
	switch {
	case metrics["requests_processing"] > 0:
		return fmt.Sprintf("it is busy, %.0f in progress", metrics["requests_processing"]), nil
	case s.mode == embeddings:
		return s.embed(ctx)
	case s.mode == reranking:
		return "it is idle", nil
	case metrics["tokens_predicted_total"] > 0 && metrics["n_tokens_max"] > worthKeeping:
		// A prompt of ours would push the last user's out of the cache, who would wait for it again.
		return "it has answered before, and is idle", nil
	}
	return s.complete(ctx)
}

// metrics are the server's figures by their names.
func (s server) metrics(ctx context.Context) (map[string]float64, error) {
	text, err := s.request(ctx, "/metrics", "")
	var refused statusError
	if errors.As(err, &refused) && refused.status == http.StatusNotImplemented {
		return nil, errNoMetrics
	}
	figures := map[string]float64{}
	for _, line := range strings.Split(string(text), "\n") {
		if name, value, found := strings.Cut(line, " "); found && strings.HasPrefix(name, "llamacpp:") {
			figures[strings.TrimPrefix(name, "llamacpp:")], _ = strconv.ParseFloat(value, 64)
		}
	}
	return figures, err
}

// complete asks for one token.
func (s server) complete(ctx context.Context) (string, error) {
	text, err := s.request(ctx, "/completion", `{"prompt": "Hello", "n_predict": 1}`)
	if err != nil {
		return "", err
	}
	var answer struct {
		Predicted int `json:"tokens_predicted"`
	}
	if err := json.Unmarshal(text, &answer); err != nil || answer.Predicted < 1 {
		return "", fmt.Errorf("it was asked for a token and answered %.80q", text)
	}
	return "it answers with a token", nil
}

// embed asks for one embedding, which must be more than zeros.
func (s server) embed(ctx context.Context) (string, error) {
	text, err := s.request(ctx, "/v1/embeddings", `{"input": "Hello"}`)
	if err != nil {
		return "", err
	}
	var answer struct {
		Data []struct{ Embedding []float64 }
	}
	if err := json.Unmarshal(text, &answer); err == nil && len(answer.Data) == 1 {
		for _, value := range answer.Data[0].Embedding {
			if value != 0 {
				return fmt.Sprintf("it answers with %d dimensions", len(answer.Data[0].Embedding)), nil
			}
		}
	}
	return "", fmt.Errorf("it was asked for an embedding and answered %.80q", text)
}

// statusError is an answer that is not 200.
type statusError struct {
	path, message string
	status        int
}

func (e statusError) Error() string {
	return fmt.Sprintf("%s answers %d: %s", e.path, e.status, e.message)
}

// probe reaches the server directly, whatever proxy the container was given.
var probe = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}

// request sends a GET, or a POST if there is a body.
func (s server) request(ctx context.Context, path, body string) ([]byte, error) {
	method := http.MethodGet
	if body != "" {
		method = http.MethodPost
	}
	request, err := http.NewRequestWithContext(ctx, method, s.url+path, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Content-Type", "application/json")
	if s.key != "" {
		request.Header.Set("Authorization", "Bearer "+s.key)
	}
	response, err := probe.Do(request)
	if err != nil {
		return nil, withoutURL(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		return nil, statusError{path, message(text), response.StatusCode}
	}
	return text, err
}

// message is what llama-server says of an error, or the beginning of any other text.
func message(text []byte) string {
	var answer struct{ Error struct{ Message string } }
	if json.Unmarshal(text, &answer) == nil && answer.Error.Message != "" {
		return answer.Error.Message
	}
	return fmt.Sprintf("%.80q", text)
}
