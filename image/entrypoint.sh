#!/bin/sh
# entrypoint.sh ARCHITECTURE NAMES — the program that starts the server, static, in /out, and the folder that it writes
# to. It knows which models' architectures the server does: those in NAMES, llama.cpp's own src/llama-arch.cpp.
set -eu

known=$(sed -n '/LLM_ARCH_NAMES = {/,/^};/s/^ *{ *LLM_ARCH_[A-Z0-9_]*, *"\([a-z0-9_.-]*\)" *}.*$/\1/p' "$2" | paste -sd , -)
case ,$known, in
*,llama,*) ;;
*)
    echo "image: LLM_ARCH_NAMES was not found in $2: llama.cpp writes it otherwise now; see image/entrypoint.sh" >&2
    exit 1
    ;;
esac

mkdir -p /out/models
cd /entrypoint
# Models come over HTTP/1.1: HTTP/2, which only makes the program larger, is left out.
CGO_ENABLED=0 GOOS=linux GOARCH=$1 GOTOOLCHAIN=local GOPROXY=off GOFLAGS='' GOCACHE=/tmp/go HOME=/tmp \
    /usr/lib/go-1.19/bin/go build -trimpath -buildvcs=false -tags=nethttpomithttp2 -ldflags="-s -w -buildid= -X main.architectures=$known" \
    -o /out/entrypoint .
