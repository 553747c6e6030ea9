"""Scripts in the place of llama-bench and llama-server: what they measure and say is known beforehand."""

from __future__ import annotations

BENCH = """#!/bin/sh
# Half the threads write twice as fast, micro-batches of 128 read faster, each kernel path helps with one,
# and there is no -fa. A file of Q4_0 is half as fast again.
prompt=100 decode=10
[ -z "$GGML_CUDA_HALF2" ] || decode=20
[ -z "$GGML_CUDA_HGEMM" ] || prompt=200
while [ $# -gt 0 ]; do
    case $1=$2 in
    -t=1) decode=$((decode * 2)) ;;
    -ub=128) prompt=$((prompt * 3 / 2)) ;;
    -fa=1) echo 'unsupported' >&2 && exit 1 ;;
    -m=*Q4_0*) prompt=$((prompt * 3 / 2)) decode=$((decode * 3 / 2)) ;;
    esac
    shift
done
if [ -e /tmp/pollex-slow-bench ]; then echo slow >/tmp/pollex-slow-bench && exec sleep 60; fi
printf '{"n_prompt": 300, "n_gen": 0, "avg_ts": %s}\\n{"n_prompt": 0, "n_gen": 32, "avg_ts": %s}\\n' "$prompt" "$decode"
"""

SERVER = """#!/usr/bin/python3
# Writes 100, 101, … With GGML_CUDA_HGEMM another token comes once that is about as likely; with GGML_CUDA_HALF2, if it
# is to garble, one that is not. At a port, which is in service, it ends when /etc/unfit names one of its options.
import json, os, socketserver, sys
from http.server import BaseHTTPRequestHandler

words = " ".join(sys.argv[1:])
at = sys.argv[sys.argv.index("--host") + 1]
unfit = open("/etc/unfit").read().strip() if os.path.exists("/etc/unfit") else "nothing"
in_service = not at.endswith(".sock")
if in_service and unfit in words:
    sys.exit("unfit for service with " + unfit)

def told(place):
    right, chosen = 100 + place, 100 + place
    if place == 5 and os.environ.get("GGML_CUDA_HGEMM"):
        chosen = 7
    if place == 5 and os.environ.get("GGML_CUDA_HALF2") and os.path.exists(sys.argv[0] + ".garbles"):
        chosen = 8
    tops = [(right, -0.5), (7, -0.9), (8, -3.5)]
    return {"id": chosen, "token": "w%d {" % chosen, "bytes": [], "logprob": dict(tops)[chosen],
            "top_logprobs": [{"id": i, "token": "w {", "bytes": [], "logprob": p} for i, p in tops]}

class Handler(BaseHTTPRequestHandler):
    def answer(self, what):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(what, separators=(",", ":")).encode())

    def do_GET(self):
        self.answer({"status": "ok"})

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path != "/completion":
            return self.answer({"choices": [{"message": {"content": words}}]})
        before = len(asked["prompt"]) - 1 if isinstance(asked["prompt"], list) else 0
        steps = [told(before + i) for i in range(asked["n_predict"])]
        self.answer({"content": "", "completion_probabilities": steps})

    def log_message(self, *_):
        pass

class Sockets(socketserver.UnixStreamServer if not in_service else socketserver.TCPServer):
    allow_reuse_address = True

Sockets(("127.0.0.1", 8080) if in_service else at, Handler).serve_forever()
"""
