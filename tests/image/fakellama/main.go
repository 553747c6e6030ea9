// Fakellama stands in for llama-server where a test says how it behaves. Without FAKE it prints how it was started, as
// JSON, and ends. FAKE is JSON: what to answer to each path; of a status 0 nothing is ever answered, of status -1
// nothing either, but it computes meanwhile. With a path "listen" it never listens.
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"
)

type answer struct {
	Status int
	Body   string
}

func main() {
	behaviour := os.Getenv("FAKE")
	if behaviour == "" {
		_ = json.NewEncoder(os.Stdout).Encode(map[string]any{"args": os.Args, "env": os.Environ(), "pid": os.Getpid(), "uid": os.Getuid()})
		return
	}
	var answers map[string]answer
	if err := json.Unmarshal([]byte(behaviour), &answers); err != nil {
		panic(err)
	}
	if _, silent := answers["listen"]; silent {
		time.Sleep(time.Hour)
	}
	port := "8080"
	for i, arg := range os.Args[:len(os.Args)-1] {
		if arg == "--port" {
			port = os.Args[i+1]
		}
	}
	panic(http.ListenAndServe("127.0.0.1:"+port, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		fmt.Printf("%s %s %s %s\n", r.Method, r.URL.Path, r.Header.Get("Authorization"), body)
		what, known := answers[r.URL.Path]
		if !known {
			what = answer{http.StatusNotFound, ""}
		}
		if what.Status == 0 {
			<-r.Context().Done()
		}
		for what.Status < 0 && r.Context().Err() == nil {
		}
		if what.Status <= 0 {
			return
		}
		w.WriteHeader(what.Status)
		fmt.Fprint(w, what.Body)
	})))
}
