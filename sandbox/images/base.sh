#!/bin/sh
# base.sh DIR       make DIR a bare Debian, as small as the published slim image's package set
# base.sh --inputs  print what besides this file decides the contents of DIR, one item a line
set -eu

SUITE=bookworm

# sources — this machine's apt sources of $SUITE as lines of sources.list; none if it runs another release.
sources() {
    # shellcheck disable=SC2016 # apt's own placeholders
    apt-get indextargets --format 'deb $(REPO_URI) $(RELEASE) $(COMPONENT)' 'Created-By: Packages' |
        grep -E " $SUITE(-updates|-security)? main\$" | sort -u || :
}

# acquire_settings — this machine's proxies and download checks, in apt's own syntax.
acquire_settings() {
    apt-config dump | grep -E '^Acquire::(https?::|Check-|Retries )' || :
}

case ${1:-} in
'' | -h | --help)
    sed -n 's/^# \{0,1\}//; 2,3p' "$0"
    exit 2
    ;;
--inputs)
    dpkg --print-architecture
    sources
    acquire_settings
    ;;
*)
    mirror=$(sources | awk -v suite="$SUITE" '$3 == suite { print $2; exit }')
    debootstrap --variant=minbase "$SUITE" "$1" ${mirror:+"$mirror"} >&2
    [ -z "$mirror" ] || sources >"$1/etc/apt/sources.list"
    acquire_settings >"$1/etc/apt/apt.conf.d/90operator"
    # Nothing is run from this tree but apt and compilers, and none of it needs to survive a power cut.
    echo force-unsafe-io >"$1/etc/dpkg/dpkg.cfg.d/unsafe-io"
    chroot "$1" apt-get clean
    ;;
esac
