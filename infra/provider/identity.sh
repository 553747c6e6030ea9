# The mark that says that this host is the one that was set up: /opt/pollex/id, 32 hex digits.
#
# As root, by hand:  sh identity.sh keep|remove
#   keep     write it unless it is there, and print it
#   remove   take it away, and what the tools put outside /opt/pollex; print what is kept, if anything is
set -eu
id=/opt/pollex/id
umask 022

case ${1:?keep or remove} in
keep)
    if [ ! -s "$id" ]; then
        mkdir -p /opt/pollex
        od -An -N16 -tx1 /dev/urandom | tr -d ' \n' >"$id.new"
        sync
        mv -f -- "$id.new" "$id"
    fi
    cat -- "$id"
    ;;
remove)
    rm -f -- "$id"
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
