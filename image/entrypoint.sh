#!/bin/sh
# entrypoint.sh ARCHITECTURE — the program that starts the server, static, in /out, and the folder that it writes to.
set -eu

mkdir -p /out/models
cd /entrypoint
CGO_ENABLED=0 GOOS=linux GOARCH=$1 GOTOOLCHAIN=local GOPROXY=off GOFLAGS='' GOCACHE=/tmp/go HOME=/tmp \
    /usr/lib/go-1.19/bin/go build -trimpath -buildvcs=false -ldflags='-s -w -buildid=' -o /out/entrypoint .
