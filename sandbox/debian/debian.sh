#!/bin/sh
# debian.sh DIR [OPTION…]  make DIR a bare Debian with debootstrap, which takes the OPTIONs
# debian.sh --inputs       print what besides this file decides the contents of DIR, one item a line
#
# Packages come from wherever this machine's apt takes the same release from; a machine of another release
# leaves the choice to debootstrap.
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
    root=$1
    shift
    mirror=$(sources | awk -v suite="$SUITE" '$3 == suite { print $2; exit }')
    debootstrap --variant=minbase "$@" "$SUITE" "$root" ${mirror:+"$mirror"} >&2
    [ -z "$mirror" ] || sources >"$root/etc/apt/sources.list"
    acquire_settings >"$root/etc/apt/apt.conf.d/90operator"
    # Whatever is made of it is thrown away after a power failure of the machine, so dpkg need not wait for its disk.
    echo force-unsafe-io >"$root/etc/dpkg/dpkg.cfg.d/unsafe-io"
    ;;
esac
