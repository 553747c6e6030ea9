#!/bin/sh
# cross.sh DIR       make DIR a Debian with a cross compiler for aarch64, of the release that the stand-in boards have
# cross.sh --inputs  print what besides this file decides the contents of DIR, one item a line
#
# It starts from what debian.sh makes. What is linked in it runs on such a board: the same release has the same glibc.
set -eu

here=$(dirname -- "$0")
# libgomp for aarch64 comes with the compiler
PACKAGES='ca-certificates cmake curl g++ g++-aarch64-linux-gnu git ninja-build patch python3'

case ${1:-} in
'' | -h | --help)
    sed -n 's/^# \{0,1\}//; 2,3p' "$0"
    exit 2
    ;;
--inputs)
    sh "$here/debian.sh" --inputs
    ;;
*)
    sh "$here/debian.sh" "$1"
    chroot "$1" apt-get update -q >&2
    # shellcheck disable=SC2086 # a list of words
    DEBIAN_FRONTEND=noninteractive chroot "$1" apt-get install -q -y --no-install-recommends $PACKAGES >&2
    rm -rf "$1"/var/cache/apt/archives/*.deb
    ;;
esac
