#!/bin/sh
# entrypoint.sh ARCHITECTURE — the program that starts the server, static, in /out, and the folder that it writes to.
set -eu

mkdir -p /out/models
cd /entrypoint
# Models come over HTTP/1.1: HTTP/2, which only makes the program larger, is left out.
CGO_ENABLED=0 GOOS=linux GOARCH=$1 GOTOOLCHAIN=local GOPROXY=off GOFLAGS='' GOCACHE=/tmp/go HOME=/tmp \
    /usr/lib/go-1.19/bin/go build -trimpath -buildvcs=false -tags=nethttpomithttp2 -ldflags='-s -w -buildid=' \
    -o /out/entrypoint .
