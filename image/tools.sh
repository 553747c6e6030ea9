#!/bin/sh
# tools.sh PACKAGES — the compilers, at exactly the versions that the file names: they decide the image's bytes.
set -eu

[ "$(dpkg --print-architecture)" = amd64 ] || {
    echo "image: $1 pins the compilers of a linux/amd64 builder, and this one is linux/$(dpkg --print-architecture):" \
        "use an amd64 builder (docker buildx create --platform linux/amd64)" >&2
    exit 2
}

export DEBIAN_FRONTEND=noninteractive
apt-get update -q
# shellcheck disable=SC2046 # one package a word
apt-get install -q -y --no-install-recommends --allow-downgrades $(sed '/^#/d' "$1") || {
    echo "image: a version in image/packages cannot be had any more: see which above, and make image-packages" >&2
    exit 1
}
rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/log/*
