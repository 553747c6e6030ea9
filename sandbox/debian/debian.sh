#!/bin/sh
# debian.sh DIR [OPTION…]  make DIR a bare Debian with debootstrap, which takes the OPTIONs
# debian.sh --inputs       print what besides this file decides the contents of DIR, one item a line
#
# SUITE names the release, else it is bookworm. Packages come from wherever this machine's apt takes the same release
# from, or another one of Debian; a machine of another distribution leaves the choice to debootstrap.
set -eu

SUITE=${SUITE:-bookworm}

# own RELEASE — this machine's apt sources of that release as lines of sources.list.
own() {
    # shellcheck disable=SC2016 # apt's own placeholders
    apt-get indextargets --format 'deb $(REPO_URI) $(RELEASE) $(COMPONENT)' 'Created-By: Packages' |
        grep -E " $1(-updates|-security)? main\$" | sort -u || :
}

# sources — those of $SUITE; where there are none, the places of this machine's own release, which have it as well, but
# for updates that are still to come to a release.
sources() {
    found=$(own "$SUITE")
    if [ -z "$found" ] && grep -q '^ID=debian$' /etc/os-release; then
        running=$(sed -n 's/^VERSION_CODENAME=//p' /etc/os-release)
        found=$(own "$running" | grep -v -- '-updates ' | sed "s/ $running/ $SUITE/")
    fi
    [ -z "$found" ] || printf '%s\n' "$found"
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
