# The mark that says that this host is the one that was set up: /opt/pollex/id, 32 hex digits; and beside it, in
# owner.json, to which stack it belongs.
#
# As root, by hand:  sh identity.sh keep|remove
# The provider puts assignments in front of this text: owner, what owner.json is to hold; before, what it holds; and
# taken, which says that another stack had the host.
#   keep     write the mark unless it is there, and print it; write the owner unless somebody else was faster
#   remove   take it away, and what the tools put outside /opt/pollex; print what is kept, if anything is
set -eu
id=/opt/pollex/id
owner_file=/opt/pollex/owner.json
owner=${owner:-} before=${before:-} taken=${taken:-}
umask 022

case ${1:?keep or remove} in
keep)
    now=$(cat -- "$owner_file" 2>/dev/null) || now=
    if [ "$now" != "$owner" ] && [ -n "$owner" ] && [ "$now" != "$before" ]; then
        echo "another stack claimed this host in the meantime: $now" >&2
        exit 3
    fi
    # what another stack left there is not what was declared here: a new mark has everything done again
    if [ ! -s "$id" ] || [ -n "$taken" ]; then
        mkdir -p /opt/pollex
        od -An -N16 -tx1 /dev/urandom | tr -d ' \n' >"$id.new"
        sync
        mv -f -- "$id.new" "$id"
    fi
    if [ "$now" != "$owner" ] && [ -n "$owner" ]; then
        printf '%s\n' "$owner" >"$owner_file.new"
        sync
        mv -f -- "$owner_file.new" "$owner_file"
    fi
    cat -- "$id"
    ;;
remove)
    # what is kept from now on is read by key alone, which older tools can, too
    rm -f -- "$id" "$owner_file" /opt/pollex/layout
    case $(readlink /usr/local/bin/pollex-host || :) in
    /opt/pollex/*) rm -f /usr/local/bin/pollex-host ;;
    esac
    builds=/etc/systemd/system/pollex-build@.service
    if [ -e "$builds" ]; then
        [ ! -d /run/systemd/system ] || systemctl stop 'pollex-build@*.service'
        rm -f -- "$builds" /etc/systemd/system/*.wants/pollex-build@*.service
        [ ! -d /run/systemd/system ] || systemctl daemon-reload
    fi
    rmdir /opt/pollex 2>/dev/null || [ ! -d /opt/pollex ] ||
        echo "kept $(du -sm /opt/pollex | cut -f 1) MB of builds, models and caches in /opt/pollex, and the packages that were installed"
    ;;
*)
    echo "identity.sh: keep or remove, not $1" >&2
    exit 2
    ;;
esac
