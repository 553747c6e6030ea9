#!/bin/sh
# nvcc.sh DIR       make DIR a Debian with nvcc 11.2 and a cross compiler for the board's CPU, dressed as CUDA 10.2
# nvcc.sh --inputs  print what besides this file decides the contents of DIR, one item a line
#
# It is the oldest release that Debian still serves: the nearest to JetPack's nvcc 10.2 and GCC 8 that can be had there.
set -eu

SUITE=bullseye
PACKAGES='ca-certificates cmake g++ g++-9 g++-9-aarch64-linux-gnu git ninja-build nvidia-cuda-toolkit'

# mirror — where this machine's apt takes Debian from; debootstrap's own choice if it takes it from nowhere.
mirror() {
    # shellcheck disable=SC2016 # apt's own placeholders
    apt-get indextargets --format '$(REPO_URI) $(ORIGIN)' 'Created-By: Packages' 2>/dev/null |
        awk '$2 == "Debian" && $1 !~ /security/ { print $1; exit }'
}

# acquire_settings — this machine's proxies and download checks, in apt's own syntax.
acquire_settings() {
    apt-config dump | grep -E '^Acquire::(https?::|Check-|Retries )' || :
}

# bootstrap DIR — the packages; nvcc is not free software, hence the third component.
bootstrap() {
    from=$(mirror)
    debootstrap --variant=minbase --components=main,contrib,non-free "$SUITE" "$1" ${from:+"$from"} >&2
    acquire_settings >"$1/etc/apt/apt.conf.d/90operator"
    echo force-unsafe-io >"$1/etc/dpkg/dpkg.cfg.d/unsafe-io"
    chroot "$1" apt-get update -q >&2
    # shellcheck disable=SC2086 # a list of words
    DEBIAN_FRONTEND=noninteractive chroot "$1" apt-get install -q -y --no-install-recommends $PACKAGES >&2
    rm -rf "$1"/var/cache/apt/archives/*.deb
}

# dress DIR — what a source asks a toolkit for its age: the version numbers, and the header that came with CUDA 11.
dress() {
    sed -i -E 's/^(#define (CUDA_VERSION|CUDART_VERSION) +)[0-9]+/\110020/' \
        "$1/usr/include/cuda.h" "$1/usr/include/cuda_runtime_api.h"
    [ "$(cat "$1/usr/include/cuda.h" "$1/usr/include/cuda_runtime_api.h" | grep -c '_VERSION  *10020')" -eq 2 ]
    rm -f "$1"/usr/include/cuda_bf16.h "$1"/usr/include/cuda_bf16.hpp
}

case ${1:-} in
'' | -h | --help)
    sed -n 's/^# \{0,1\}//; 2,3p' "$0"
    exit 2
    ;;
--inputs)
    dpkg --print-architecture
    mirror
    acquire_settings
    ;;
*)
    bootstrap "$1"
    dress "$1"
    ;;
esac
