# The mark that says that this host is the one that was set up: /opt/pollex/id, 32 hex digits.
#
# As root, by hand:  sh identity.sh keep|remove
#   keep     write it unless it is there, and print it
#   remove   take it away, and /opt/pollex too when nothing else is in it
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
    rmdir /opt/pollex 2>/dev/null || :
    ;;
*)
    echo "identity.sh: keep or remove, not $1" >&2
    exit 2
    ;;
esac
