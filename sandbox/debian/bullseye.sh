#!/bin/sh
# bullseye.sh DIR       make DIR the root file system of a stand-in board of that release, as rootfs.sh makes others
# bullseye.sh --inputs  print what besides this file decides the contents of DIR, one item a line
#
# The oldest userland that Debian still serves, and so the nearest to JetPack's: systemd 247, OpenSSH 8.4, git 2.30,
# Python 3.9, mawk, glibc 2.31. docs/reference/jetpack.md says how much older JetPack is.
set -eu

SUITE=bullseye
export SUITE
exec sh "$(dirname -- "$0")/rootfs.sh" "$@"
